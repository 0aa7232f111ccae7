"""Whether what comes in, and what is answered, is still what it was: two windows of the feature log compared."""
