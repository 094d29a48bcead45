"""The invoker's helper for what takes root: namespaces, control groups, starts, exits. One thread, standard library."""
