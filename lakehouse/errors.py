"""The errors a user can meet. Each says what is wrong, where, and what to do about it."""


class PipelineError(Exception):
    """Base of every error that is reported to the user without a traceback."""


class SettingsError(PipelineError):
    """A setting is unknown, of the wrong type or out of range."""


class LayoutError(PipelineError):
    """The lake is from a newer release, or does not say from which."""


class InputError(PipelineError):
    """Something the user named cannot be read."""


class UnreadableError(InputError):
    """It cannot be read now, and perhaps later: by its permissions, or a fault of the disk."""


class LockedError(PipelineError):
    """Another process holds a lock for longer than we are ready to wait."""


class IdentityError(PipelineError):
    """Rows went missing or were doubled: landed = merged + duplicates + quarantined does not hold."""


class EngineError(PipelineError):
    """Spark, Java or Delta's JARs are not there, or do not answer."""


class TableError(PipelineError):
    """The log of a Delta table is damaged."""


class CheckpointError(PipelineError):
    """The checkpoint of a streaming query is damaged."""
