"""The small process that forks Launches and is their parent. Standard library only; imports nothing of ours."""
