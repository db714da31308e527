"""One login step per file. A use case takes values and ports, decides nothing about HTTP, and names no concrete store."""
