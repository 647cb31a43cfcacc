"""Builds an RPM repository in Rocky Linux's shape from Debian's packages. README.rst says what for."""
