"""The programs that groups run, one folder per kind; they are copied into artifacts. README.md is their contract."""
