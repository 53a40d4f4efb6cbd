//! What Debian must provide, and why.

/// What a package is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Building and installing the module and the programs: `setup --build`.
    Build,
    /// Running them in the virtual studio: `demo`.
    Studio,
    /// The remaining steps of `test`.
    Test,
    /// `bench`, `dist`, `test --full`: everything there is.
    Everything,
}

/// One package of the distribution.
#[derive(Debug)]
pub struct Package {
    /// Its name in Debian 12 and 13.
    pub name: &'static str,
    /// The least demanding task that needs it.
    pub needed_for: Use,
    /// Why, in a few words.
    pub why: &'static str,
}

const fn package(needed_for: Use, name: &'static str, why: &'static str) -> Package {
    Package { name, needed_for, why }
}

/// Every package that any task needs, in the order in which they are shown.
pub const PACKAGES: &[Package] = &[
    package(Use::Build, "pkg-config", "finds PipeWire's headers"),
    package(Use::Build, "libpipewire-0.3-dev", "headers that the module is built against"),
    package(Use::Build, "libspa-0.2-dev", "headers that the module is built against"),
    package(Use::Build, "libclang-dev", "reads those headers for the Rust bindings"),
    package(Use::Studio, "pipewire", "the daemon that the module is loaded into"),
    package(Use::Studio, "pipewire-bin", "pw-link, pw-dump and pw-record: the client that records"),
    package(Use::Studio, "iproute2", "ip: network namespaces and virtual cables of the studio"),
    package(Use::Studio, "tcpdump", "counts packets, to see that none passes where none must"),
    package(Use::Studio, "gstreamer1.0-tools", "a sender and receiver that we did not write"),
    package(Use::Studio, "gstreamer1.0-plugins-base", "... its raw audio parser"),
    package(Use::Studio, "gstreamer1.0-plugins-good", "... its RTP and UDP elements"),
    package(Use::Test, "nftables", "rules of a packet filter, which `wireloom doctor` has to find"),
    package(Use::Test, "iptables", "... and those that are made by its older command"),
    package(Use::Test, "wireplumber", "the session manager that nodes must get along with"),
    package(Use::Studio, "dbus-daemon", "a private session bus for the agent"),
    package(Use::Test, "pipewire-pulse", "the sound server that applications of the desktop see"),
    package(Use::Test, "pipewire-jack", "JACK clients as clients of PipeWire: they patch too"),
    package(Use::Test, "pulseaudio-utils", "pactl and paplay: such applications"),
    package(Use::Test, "jackd2", "jack_lsp and jack_connect: such applications; its server is not started"),
    package(Use::Test, "qpwgraph", "a patchbay that people use"),
    package(Use::Test, "xvfb", "a screen that nobody sees, for its window"),
    package(Use::Test, "xdotool", "the mouse on that screen"),
    package(Use::Test, "imagemagick", "import: pictures of that screen"),
    package(Use::Everything, "libgtk-4-dev", "headers that Helvum, another patchbay, is built against"),
    package(Use::Everything, "libadwaita-1-dev", "... its widgets"),
    package(Use::Test, "linuxptp", "ptp4l: a PTP leader and follower that we did not write"),
    package(Use::Test, "ffmpeg", "another sender and receiver that we did not write"),
    package(Use::Test, "python3", "plays broken and hostile devices, without a line of ours"),
    package(Use::Test, "avahi-daemon", "the DNS-SD responder that ours shares the computer with"),
    package(Use::Test, "avahi-utils", "avahi-publish and avahi-browse: DNS-SD that we did not write"),
    package(Use::Test, "libglib2.0-bin", "gdbus: a D-Bus client that asks for many things at once"),
    package(Use::Test, "python3-gi", "runs GStreamer's RTSP server"),
    package(Use::Test, "gir1.2-gst-rtsp-server-1.0", "... which describes a session to us"),
    package(Use::Test, "curl", "an RTSP client that asks what our server can do"),
    package(Use::Test, "tshark", "decodes what we send"),
    package(Use::Test, "gcc-aarch64-linux-gnu", "links tests for ARM, compiles the C in the module"),
    package(Use::Test, "valgrind", "sees what a module that is loaded and unloaded leaves behind"),
    package(Use::Test, "libc6-dev-arm64-cross", "the C library and headers of both"),
    package(Use::Test, "qemu-user", "runs them"),
    package(Use::Everything, "debootstrap", "makes a root file system with the next release's PipeWire"),
    package(Use::Build, "meson", "installs everything, as packagers do"),
    package(Use::Build, "ninja-build", "... what it builds with"),
    package(Use::Build, "scdoc", "writes the manual pages"),
    package(Use::Test, "libxml2-utils", "xmllint: reads the D-Bus contract as others do"),
    package(Use::Test, "systemd", "systemd-analyze finds faults in units; it is not started"),
];
