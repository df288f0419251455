"""Where suites come from: a first one to begin with, other tools' files, and a Weir's own traffic."""
