"""The commands of research: ``qa train``, ``qa eval``, ``qa analyze``, ``qa bench``."""
