/*
 * gnutls.c - keeps GnuTLS asleep. It comes along with libcurl (LDAP and RTMP, which are never used),
 * and would otherwise set itself up in every process: 0.9 MB of the idle server's memory. A libcurl
 * that speaks TLS with it sets it up by its own call. Source: "Initialization" in GnuTLS's manual,
 * GNUTLS_SKIP_GLOBAL_INIT, whose definition this is without needing the header.
 */
__attribute__((visibility("default"))) int _gnutls_global_init_skip(void);

int _gnutls_global_init_skip(void)
{
    return 1;
}
