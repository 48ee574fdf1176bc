/* notify.h - a word to the service manager (sd_notify's protocol). Private to http/. */
#ifndef HTTP_NOTIFY_H
#define HTTP_NOTIFY_H

/* "READY=1\nSTATUS=..." to $NOTIFY_SOCKET; nothing where there is none. */
void notify_manager(const char *state);
/* Half of the time in ms after which it wants to hear from us (WATCHDOG_USEC); 0 never. */
long notify_interval_ms(void);

#endif
