"""What a caller of the pipeline can do something about."""


class PipelineError(Exception):
    """Base of all errors of this package."""


class BadQuestion(PipelineError, ValueError):
    """The question is empty or blank."""


class NothingToMeasure(PipelineError):
    """The store does not hold the documents that an evaluation file asks about."""


class RiskNotKnown(PipelineError, ValueError):
    """No confidence is known at which as few answers are wrong as the caller asks."""
