//! Two systems on one disk: installs a new one into the other volume, tries it once, keeps it or goes back.
