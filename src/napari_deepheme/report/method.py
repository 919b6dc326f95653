"""How the numbers of a slide's report were made: words, formula and source of each."""

from __future__ import annotations

from dataclasses import dataclass

from napari_deepheme.stats.differential import Differential
from napari_deepheme.stats.intervals import Interval, RatioInterval


@dataclass(frozen=True, slots=True)
class MethodNote:
    """One step: what it is called, what was done, its formula (may be empty) and source."""

    title: str
    text: str
    formula: str
    source: str


METHODS_IN_WORDS = (
    "Before the slide's class prior. count: cells as called; probabilistic: mean probabilities; acc, pacc: "
    "these two with the confusion on the calibration cells taken out; em: the class prior that makes the "
    "probabilities likeliest; audit: a random sample named by a person. Intervals hold sampling and the "
    "model's error. The last is the one to believe."
)
"""What stands under the table of all methods."""
CAPTIONS_IN_WORDS = "Under each cell: its number and the probability of its class."

_INTERVALS = {
    Interval.WILSON: MethodNote(
        "Interval of a share",
        "Wilson's score interval; k of n counted cells, z = 1.96 at 95 %.",
        "(k + z²/2 ± z √(k(n − k)/n + z²/4)) / (n + z²)",
        "Wilson 1927, J Am Stat Assoc 22:209",
    ),
    Interval.CLOPPER_PEARSON: MethodNote(
        "Interval of a share",
        "Exact binomial interval; k of n counted cells, B the quantile of the beta distribution.",
        "B(α/2; k, n − k + 1) to B(1 − α/2; k + 1, n − k)",
        "Clopper & Pearson 1934, Biometrika 26:404; Rümke 1960",
    ),
    Interval.GOODMAN: MethodNote(
        "Intervals of all shares at once",
        "Wilson's interval with the quantile for all classes together.",
        "z² = χ²(1 − α/K; 1 degree of freedom)",
        "Goodman 1965, Technometrics 7:247",
    ),
    Interval.SISON_GLAZ: MethodNote(
        "Intervals of all shares at once",
        "The narrowest common distance below and above that holds all shares together.",
        "",
        "Sison & Glaz 1995, J Am Stat Assoc 90:366",
    ),
}
_RATIOS = {
    RatioInterval.SCORE: ("Wilson's interval of the share p of the numerator, as odds.", "p / (1 − p)"),
    RatioInterval.LOG: ("Normal on the logarithm.", "ln(a/b) ± z √(1/a + 1/b)"),
    RatioInterval.FIELLER: ("Fieller's interval.", "(a − r b)² ≤ z² (a + r² b)"),
}


_ALWAYS = (
    MethodNote(
        "Corrected shares",
        "The class prior that makes the slide's probabilities likeliest, with the classifier's error on "
        "its calibration cells; the bootstrap draws cells of the slide and calibration cells anew. After "
        "an audit: shares among a random sample within each called class that a person named.",
        "π_j ← (1/n) Σ_i π_j p_ij/π⁰_j / Σ_l π_l p_il/π⁰_l",
        "Saerens, Latinne & Decaestecker 2002; Tenenbein 1970; Zou, Huang & Zhang 2009",
    ),
    MethodNote(
        "Uncertainty of a cell",
        "Entropy of the calibrated mean of the ensemble's members, in nats.",
        "H = −Σ p ln p",
        "Depeweg et al. 2018, arXiv:1710.07283",
    ),
    MethodNote(
        "Review threshold",
        "Largest entropy up to which errors among accepted calibration cells stay at or below the risk, "
        "with the given confidence; tested threshold by threshold.",
        "",
        "Angelopoulos et al. 2021, arXiv:2110.01052",
    ),
    MethodNote(
        "Is this slide one of ours",
        "Distances and entropies of the slide's cells ranked among calibration cells called the same, "
        "against random exchanges.",
        "",
        "van Elteren 1960; Westfall & Young 1993",
    ),
)


def method_notes(count: Differential) -> tuple[MethodNote, ...]:
    """The notes that belong to a differential, in the order of the report."""
    rule = count.options.rule
    notes = [
        MethodNote("Counting rule", rule.title, "", rule.source),
        _INTERVALS[count.options.interval],
        MethodNote("Interval of a ratio", *_RATIOS[count.options.ratio], "Fieller 1954; Katz et al. 1978"),
    ]
    if count.design_effect == count.design_effect:
        notes[1:] = [
            MethodNote(
                "Intervals over fields",
                "Cells of one field resemble each other. Shares: Wilson's interval on n / design effect "
                f"cells (design effect {count.design_effect:.2f}); ratios: bootstrap over whole fields.",
                "deff = F/(F − 1) Σ (k_f − p n_f)² / (n p (1 − p))",
                "Kish 1965; Korn & Graubard 1998; Hesterberg 2015",
            )
        ]
    return (*notes, *_ALWAYS)
