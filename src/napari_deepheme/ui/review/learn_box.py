"""In the dock “Review”: learn from the corrections, look at what that would change, use it, go back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_deepheme.errors import DeepHemeError
from napari_deepheme.ui.learn_task import LearnTask
from napari_deepheme.ui.learning import Proposal, proposal_lines, ready_line, why_not
from napari_deepheme.ui.review.labels_button import LabelsButton
from napari_deepheme.ui.review.sign_box import signing
from napari_deepheme.ui.runner import Runner
from napari_deepheme.ui.session import Session
from napari_deepheme.ui.state import ViewerState
from napari_deepheme.ui.widgets import button, label, tip

_LEARN_TIP = (
    "Give the model a new last layer that knows your labels, in the background. You see what it would change "
    "before anything does."
)
_USE_TIP = (
    "Call the cells that nobody settled by what was learned. The former calls are kept: one click goes back."
)
_LEAVE_TIP = "Leave everything as it is and forget what was learned."


class LearnBox(QWidget):
    """Buttons and what there is to say about learning.

    Parameters
    ----------
    state : ViewerState

    Signals
    -------
    answered : None
        It says what was learned, or why nothing was.
    """

    answered = Signal()

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self.state = state
        self._runner: Runner | None = None
        self._failed = ""
        self._answer: Proposal | str = ""
        self.learn_button = button("Learn from &corrections", _LEARN_TIP, self.learn)
        self.labels_button = LabelsButton(state, self._try)
        self.use_button = button("&Use it", _USE_TIP, lambda: self._try(state.use_proposal))
        self.leave_button = button("Leave i&t", _LEAVE_TIP, state.leave_proposal)
        self.cancel_button = button("Ca&ncel", "Stop learning; nothing changes.", self._cancel)
        self.model_button = QPushButton()
        self.model_button.clicked.connect(self._other_model)
        self.sign_button, self._show_sign = signing(state, self._try)
        self.line = label()
        self._lay_out()
        # many corrections in a row are looked at once
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self.refresh)
        self._release = self._to_release()
        self.refresh()

    def learn(self) -> None:
        """Learn from the corrections of the analysis in hand."""
        session = self.state.session
        others, running = self.state.others_to_learn_from, self.state.run is not None
        if session is None or why_not(session, others, running=running):
            return
        self._failed = ""
        self._runner = Runner(self.state, LearnTask(self.state, session))
        self._runner.failed.connect(self._on_failed)
        self._runner.start()

    def refresh(self) -> None:
        """Show how things stand."""
        state, session = self.state, self.state.session
        learning = self._learning
        proposal = None if learning else state.proposal
        others = state.others_to_learn_from
        why = why_not(session, others, running=state.run is not None)
        self.learn_button.setEnabled(not why)
        tip(self.learn_button, f"{why} {_LEARN_TIP}" if why else _LEARN_TIP)
        self.labels_button.setVisible(not learning)
        self.labels_button.refresh()
        self.cancel_button.setVisible(learning)
        self.use_button.setVisible(proposal is not None and proposal.changes is not None)
        self.leave_button.setVisible(proposal is not None)
        self.model_button.setVisible(not learning and proposal is None and self._offer(session))
        self._show_sign()
        ready = ready_line(session, others) if session is not None and not why else why
        self.line.setText("\n".join(self._lines(session, ready)))
        answer = proposal or self._failed
        if answer and answer != self._answer:
            self.answered.emit()
        self._answer = answer

    def release(self) -> None:
        """Let go of the state; once is enough."""
        self._timer.stop()
        self._release.close()

    @property
    def _learning(self) -> bool:
        return self._runner is not None and self.state.run is self._runner

    def _lines(self, session: Session | None, ready: str) -> list[str]:
        if session is None:
            return []
        if self._learning and self._runner is not None:
            return [self._runner.line]
        proposal = self.state.proposal
        if proposal is not None:
            return proposal_lines(proposal)
        learned = session.learned
        lines = [f"Calls by {session.origin.bundle}, learned from {learned.cells} labels."] if learned else []
        lines += [session.review_status.line] if session.review_status.line else []
        return [*lines, f"⚠ {self._failed}" if self._failed else ready]

    def _offer(self, session: Session | None) -> bool:
        """Whether there is another model to go to; the button says which."""
        if session is None or session.file is None:
            return False
        learned, kept = session.learned, session.file.models()
        if learned is not None:
            self.model_button.setText(f"&Back to {learned.parent}")
            tip(self.model_button, f"Call the cells by {learned.parent} again; what you said of them stays.")
        elif kept:
            self.model_button.setText(f"&Use {kept[-1].name}")
            tip(self.model_button, f"Learned from {kept[-1].cells} labels on {kept[-1].when[:10]}.")
        return learned is not None or bool(kept)

    def _other_model(self) -> None:
        session = self.state.session
        if session is None or session.file is None:
            return
        number = None if session.learned is not None else session.file.models()[-1].number
        self._try(lambda: self.state.use_model(number))

    def _cancel(self) -> None:
        if self._learning and self._runner is not None:
            self._runner.cancel()

    def _on_failed(self, err: Exception) -> None:
        self._failed = str(err)
        self.refresh()

    def _try(self, verb: Callable[[], object]) -> None:
        try:
            verb()
        except DeepHemeError as err:
            show_error(str(err))
        self.refresh()

    def _later(self, *_: object) -> None:
        self._timer.start()

    def _to_release(self) -> ExitStack:
        stack, state = ExitStack(), self.state
        for signal in (
            state.analysis_changed,
            state.assessment_changed,
            state.cells_changed,
            state.run_changed,
            state.learned,
            state.signed,
        ):
            signal.connect(self._later)
            stack.callback(signal.disconnect, self._later, missing_ok=True)
        return stack

    def _lay_out(self) -> None:
        above, below = QHBoxLayout(), QHBoxLayout()
        for each in (self.learn_button, self.labels_button, self.cancel_button, self.sign_button):
            above.addWidget(each)
        for each in (self.use_button, self.leave_button, self.model_button):
            below.addWidget(each)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(above)
        layout.addLayout(below)
        layout.addWidget(self.line)
