"""The chapter "Network": which architecture, and what it learns."""
