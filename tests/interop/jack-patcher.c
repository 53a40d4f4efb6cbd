// A JACK client that patches and ends: jack-patcher list | connect OUTPUT INPUT | disconnect OUTPUT INPUT |
// test OUTPUT INPUT (prints "connected" or "apart"). Run it with pw-jack; it needs no header of JACK.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

typedef struct client client_t;
typedef struct port port_t;
enum { NO_START_SERVER = 1 };

static void *library;

static void *function(const char *name) {
    void *found = dlsym(library, name);
    if (!found)
        fprintf(stderr, "libjack has no %s\n", name);
    return found;
}

static int list(client_t *client) {
    const char **(*get_ports)(client_t *, const char *, const char *, unsigned long) = function("jack_get_ports");
    const char **names = get_ports ? get_ports(client, NULL, NULL, 0) : NULL;
    for (const char **name = names; name && *name; name++)
        puts(*name);
    return names ? 0 : 6;
}

static int test(client_t *client, const char *output, const char *input) {
    port_t *(*by_name)(client_t *, const char *) = function("jack_port_by_name");
    const char **(*connections)(client_t *, const port_t *) = function("jack_port_get_all_connections");
    if (!by_name || !connections)
        return 6;
    port_t *port = by_name(client, output);
    if (!port || !by_name(client, input)) {
        fprintf(stderr, "there is no port %s\n", port ? input : output);
        return 7;
    }
    for (const char **name = connections(client, port); name && *name; name++)
        if (!strcmp(*name, input))
            return puts("connected") < 0;
    return puts("apart") < 0;
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 4)
        return 2;
    library = dlopen("libjack.so.0", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 3;
    }
    client_t *(*open_client)(const char *, int, int *, ...) = function("jack_client_open");
    int (*close_client)(client_t *) = function("jack_client_close");
    int status = 0;
    client_t *client = open_client ? open_client("lab-patcher", NO_START_SERVER, &status) : NULL;
    if (!client) {
        fprintf(stderr, "no JACK server: status %#x\n", (unsigned)status);
        return 4;
    }
    int result = 2;
    if (argc == 2 && !strcmp(argv[1], "list"))
        result = list(client);
    if (argc == 4 && !strcmp(argv[1], "test"))
        result = test(client, argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "test")) {
        int (*patch)(client_t *, const char *, const char *) =
            function(!strcmp(argv[1], "connect") ? "jack_connect" : "jack_disconnect");
        result = patch ? patch(client, argv[2], argv[3]) : 6;
        if (result)
            fprintf(stderr, "%s: %s\n", argv[1], strerror(result < 0 ? -result : result));
    }
    close_client(client);
    return result ? 1 : 0;
}
