// Loads and unloads libpipewire-module-wireloom in a context of its own: load-host CONFIGURATION ARGUMENTS.
// A link between its nodes wireloom.lab.tx and wireloom.rack.rx, which becomes virtual, is alive at every unload but one:
// there the module goes before it could convert the link. Ends with 0 and a line of figures when every load worked,
// every link became virtual and no descriptor was left open.
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include <pipewire/impl.h>
#include <pipewire/pipewire.h>

static int descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

static void turn(struct pw_main_loop *loop, int times) {
    for (int i = 0; i < times; i++)
        pw_loop_iterate(pw_main_loop_get_loop(loop), 10);
}

struct search {
    const char *type, *key, *value, *also_key, *also_value;
    struct pw_global *found;
};

static int match(void *data, struct pw_global *global) {
    struct search *search = data;
    const struct pw_properties *props = pw_global_get_properties(global);
    const char *value = pw_properties_get(props, search->key);
    const char *also = search->also_key ? pw_properties_get(props, search->also_key) : NULL;
    if (!pw_global_is_type(global, search->type) || !value || strcmp(value, search->value))
        return 0;
    if (search->also_key && (!also || strcmp(also, search->also_value)))
        return 0;
    search->found = global;
    return 1;
}

static struct pw_global *find(struct pw_context *context, struct search search) {
    pw_context_for_each_global(context, match, &search);
    return search.found;
}

static struct pw_impl_port *first_port(struct pw_context *context, const char *node_name) {
    struct pw_global *node = find(context, (struct search){ PW_TYPE_INTERFACE_Node, PW_KEY_NODE_NAME, node_name });
    if (!node)
        return NULL;
    char id[16];
    snprintf(id, sizeof(id), "%u", pw_global_get_id(node));
    struct pw_global *port =
        find(context, (struct search){ PW_TYPE_INTERFACE_Port, PW_KEY_NODE_ID, id, PW_KEY_PORT_ID, "0" });
    return port ? pw_global_get_object(port) : NULL;
}

/// Draws the link as link-factory does.
static int draw(struct pw_context *context) {
    struct pw_impl_port *output = first_port(context, "wireloom.lab.tx");
    struct pw_impl_port *input = first_port(context, "wireloom.rack.rx");
    struct pw_impl_link *link = output && input ? pw_context_create_link(context, output, input, NULL, NULL, 0) : NULL;
    return link ? pw_impl_link_register(link, NULL) : -1;
}

static struct pw_global *virtual_link(struct pw_context *context) {
    return find(context, (struct search){ PW_TYPE_INTERFACE_Link, "wireloom.direct", "true" });
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    pw_init(&argc, &argv);
    int loads = 0, links = 0, first = 0, last = 0;
    for (int round = 0; round < 4; round++) {
        struct pw_main_loop *loop = pw_main_loop_new(NULL);
        struct pw_properties *props = pw_properties_new("config.name", argv[1], "core.daemon", "true", NULL);
        struct pw_context *context = pw_context_new(pw_main_loop_get_loop(loop), props, 0);
        if (!context)
            return 3;
        for (int again = 0; again < 3; again++) {
            struct pw_impl_module *module =
                pw_context_load_module(context, "libpipewire-module-wireloom", argv[2], NULL);
            if (!module)
                return 4;
            loads++;
            turn(loop, 20);
            if (draw(context) < 0)
                return 6;
            // Once the module goes before its job has run, and once a client has destroyed the link.
            if (round != 1 || again != 0) {
                turn(loop, 5);
                struct pw_global *link = virtual_link(context);
                if (!link)
                    return 7;
                links++;
                if (round == 2 && again == 0) {
                    pw_global_destroy(link);
                    turn(loop, 5);
                    if (virtual_link(context))
                        return 8;
                }
            }
            // The last one is left for the context to take down, which it does in another order.
            if (again < 2)
                pw_impl_module_destroy(module);
            turn(loop, 5);
        }
        pw_context_destroy(context);
        pw_main_loop_destroy(loop);
        last = descriptors();
        if (round == 0)
            first = last;
    }
    pw_deinit();
    printf("%d loads, %d links, %d descriptors after the first round and %d after the last\n", loads, links, first, last);
    return first == last ? 0 : 5;
}
