"""The page of a study of aging chips."""
