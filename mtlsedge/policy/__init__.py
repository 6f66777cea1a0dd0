"""May they? Selectors, rules, applications, and the tree that finds the one that governs."""
