/* Asks a model's socket about one frame: seed3_client SOCKET REQUEST-JSON; prints the response's JSON. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void whole(int connection, char *bytes, size_t count, int sending) {
    while (count > 0) {
        ssize_t done = sending ? write(connection, bytes, count) : read(connection, bytes, count);
        if (done <= 0) { perror("connection"); exit(1); }
        bytes += done;
        count -= (size_t)done;
    }
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
    strcpy(address.sun_path, argv[1]);
    int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) { perror(argv[1]); return 1; }
    uint32_t length = htonl((uint32_t)strlen(argv[2]));
    whole(connection, (char *)&length, sizeof length, 1);
    whole(connection, argv[2], strlen(argv[2]), 1);
    whole(connection, (char *)&length, sizeof length, 0);
    length = ntohl(length);
    char *answer = malloc(length);
    if (answer == NULL) return 1;
    whole(connection, answer, length, 0);
    fwrite(answer, 1, length, stdout);
    return 0;
}
