/* banned.h - libc functions that overflow, truncate silently or hide state are compile errors. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#define BANNED(func) sorry_##func##_is_a_banned_function

#define strcpy(x, y)      BANNED(strcpy)
#define strcat(x, y)      BANNED(strcat)
#define strncpy(x, y, n)  BANNED(strncpy)
#define strncat(x, y, n)  BANNED(strncat)
#define strtok(x, y)      BANNED(strtok)
#define strtok_r(x, y, z) BANNED(strtok_r)
#define sprintf(...)      BANNED(sprintf)
#define vsprintf(...)     BANNED(vsprintf)
#define gets(x)           BANNED(gets)
#define atoi(x)           BANNED(atoi)
#define atol(x)           BANNED(atol)
#define atof(x)           BANNED(atof)
#define gmtime(t)         BANNED(gmtime)
#define localtime(t)      BANNED(localtime)
#define ctime(t)          BANNED(ctime)
#define asctime(t)        BANNED(asctime)
#define tmpnam(x)         BANNED(tmpnam)
#define mktemp(x)         BANNED(mktemp)
#define system(x)         BANNED(system)
#define popen(x, y)       BANNED(popen)

#endif
