// Loads and unloads libpipewire-module-wireloom in a context of its own: load-host CONFIGURATION ARGUMENTS.
// Ends with 0 and a line of figures when every load worked and no descriptor was left open.
#include <dirent.h>
#include <stdio.h>

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

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    pw_init(&argc, &argv);
    int loads = 0, first = 0, last = 0;
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
    printf("%d loads, %d descriptors after the first round and %d after the last\n", loads, first, last);
    return first == last ? 0 : 5;
}
