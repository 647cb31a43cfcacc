//! Packages: package-installs, pkg-map, svc-map, managers. Deciding half.
