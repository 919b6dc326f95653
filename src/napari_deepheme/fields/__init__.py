"""Which parts of a slide are worth a look, and which can be counted."""

from napari_deepheme.fields.field import Field, FieldKind, ranked, seen
from napari_deepheme.fields.judge import judge_fields
from napari_deepheme.fields.varied import varied_fields

__all__ = ["Field", "FieldKind", "judge_fields", "ranked", "seen", "varied_fields"]
