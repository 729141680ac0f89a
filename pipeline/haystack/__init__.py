"""Everything that is Haystack's. The component classes lie in the folders that install as ``haystack_integrations``."""
