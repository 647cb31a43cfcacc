# DIB_DEV_USER_PASSWORD is not named here: environment files can end up in logs.
export DIB_DEV_USER_USERNAME=${DIB_DEV_USER_USERNAME:-devuser}
