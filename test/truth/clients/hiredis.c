// Uses hiredis: pipelines by redisAppendCommand, transactions, pub/sub, errors, a value in many pieces.
// usage: hiredis HOST PORT, or hiredis PATH unix; with TLS hiredis HOST PORT CERTIFICATE [touch]. With touch it opens a connection
// for each line that it reads, sends one PING, and answers by a line.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <hiredis.h>

#ifdef TLS
#include <hiredis_ssl.h>

static redisSSLContext *tls;

static int secure(redisContext *c)
{
	return redisInitiateSSLWithContext(c, tls);
}
#else
static int secure(redisContext *c)
{
	return REDIS_OK;
}
#endif

static redisContext *connect_to(const char *host, const char *port)
{
	redisContext *c = strcmp(port, "unix") ? redisConnect(host, atoi(port)) : redisConnectUnix(host);

	if (!c || c->err || secure(c) != REDIS_OK) {
		fprintf(stderr, "connect: %s\n", c ? c->errstr : "no memory");
		exit(1);
	}
	return c;
}

static void expect(redisContext *c, int replies)
{
	redisReply *reply;

	while (replies--) {
		if (redisGetReply(c, (void **)&reply) != REDIS_OK) {
			fprintf(stderr, "reply: %s\n", c->errstr);
			exit(1);
		}
		freeReplyObject(reply);
	}
}

int main(int argc, char **argv)
{
	const char *host = argv[1], *port = argc > 2 ? argv[2] : "6379";
	int i;
	redisContext *c, *sub;
	size_t size = 5 << 20;
	char *big = malloc(size);

#ifdef TLS
	char line[8];

	redisInitOpenSSL();
	tls = redisCreateSSLContext(argv[3], NULL, NULL, NULL, NULL, NULL);
	while (argc > 4 && fgets(line, sizeof(line), stdin)) {
		c = connect_to(host, port);
		redisAppendCommand(c, "PING");
		expect(c, 1);
		redisFree(c);
		puts("touched");
		fflush(stdout);
	}
	if (argc > 4)
		return 0;
#endif
	c = connect_to(host, port);
	sub = connect_to(host, port);
	for (i = 0; i < 5000; i++) {
		redisAppendCommand(c, "SET key:%d %d", i, i);
		redisAppendCommand(c, "GET key:%d", i);
		redisAppendCommand(c, "LPUSH key:%d wrong-type", i);
	}
	expect(c, 15000);

	memset(big, '*', size);
	redisAppendCommand(c, "SET big %b", big, size);
	expect(c, 1);
	redisAppendCommand(c, "GET big");
	expect(c, 1);
	redisAppendCommand(c, "STRLEN big");
	expect(c, 1);
	free(big);

	for (i = 0; i < 50; i++) {
		redisAppendCommand(c, "MULTI");
		redisAppendCommand(c, "INCR counter");
		redisAppendCommand(c, "LPUSH counter x");
		redisAppendCommand(c, i % 2 ? "EXEC" : "DISCARD");
	}
	expect(c, 200);

	redisAppendCommand(sub, "SUBSCRIBE a b a");
	redisAppendCommand(sub, "PSUBSCRIBE *");
	expect(sub, 4);
	for (i = 0; i < 100; i++)
		redisAppendCommand(c, "PUBLISH a text");
	expect(c, 100);
	expect(sub, 200);
	redisAppendCommand(sub, "UNSUBSCRIBE");
	redisAppendCommand(sub, "PUNSUBSCRIBE");
	expect(sub, 3);
	redisAppendCommand(sub, "GET key:1");
	expect(sub, 1);

	redisAppendCommand(c, "NOSUCH command");
	redisAppendCommand(c, "GET");
	redisAppendCommand(c, "EVALSHA ffffffffffffffffffffffffffffffffffffffff 0");
	expect(c, 3);
	redisFree(c);
	redisFree(sub);
	return 0;
}
