/* SPDX-License-Identifier: MIT
 *
 * tls.h - what the programs of P60 share: a certificate for localhost that signs itself, its key, and what is said.
 *
 * A client says eight bytes, a number of blocks; then that many blocks; and gets one byte. No blocks: what a handshake is for.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#define TLS_BLOCK 65536
#define TLS_SUITE "TLS_AES_128_GCM_SHA256" /* what Go chooses */
#define TLS_FULL "dial and full handshake"
#define TLS_RESUMED "dial and resumed handshake"
#define TLS_STREAM "64 KiB through one stream"

#define TLS_CERT                                                             \
	"-----BEGIN CERTIFICATE-----\n"                                      \
	"MIIBSDCB8KADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMMCWxvY2FsaG9z\n" \
	"dDAiGA8yMDIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYDVQQD\n" \
	"DAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARPI6wa/1aY5Op0\n" \
	"0woToRpRzrHETn8Cxf5A5U3t7Q1isfG6cp1q6vczgSK9IwJwJy2v+sNJL6oDkL5Q\n" \
	"39WZHm0hoy8wLTAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwDwYDVR0TAQH/\n" \
	"BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB2lV5qcVCD6nV3G2GRGlC1CzJB9Imq\n" \
	"T46xEIoye9kkLAIgJcZBm5BubLZE7fSUSPjKSXBeXUqdRDFYDxbinwRgSuI=\n"     \
	"-----END CERTIFICATE-----\n"
#define TLS_KEY                                                              \
	"-----BEGIN PRIVATE KEY-----\n"                                      \
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCmVxK4b1SV7G32cR\n" \
	"lBk6vEO9r3BcYtwGaPJLlQO9IomhRANCAARPI6wa/1aY5Op00woToRpRzrHETn8C\n" \
	"xf5A5U3t7Q1isfG6cp1q6vczgSK9IwJwJy2v+sNJL6oDkL5Q39WZHm0h\n"         \
	"-----END PRIVATE KEY-----\n"

#endif
