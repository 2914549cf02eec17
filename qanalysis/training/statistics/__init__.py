"""Statistics of a training run that took place elsewhere: tables, logs of nvdlfw-inspect, TensorBoard event files."""
