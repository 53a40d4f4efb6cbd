"""An RTSP server of GStreamer (gst-rtsp-server) that describes a session by a file: PORT PATH DESCRIPTION.

Requests, answers and connections are GStreamer's; only the text of the description is put into its answer.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def on_message(client, session, message):
    result, kind = message.get_header(GstRtsp.RTSPHeaderField.CONTENT_TYPE, 0)
    if result == GstRtsp.RTSPResult.OK and kind == "application/sdp":
        with open(sys.argv[3], "rb") as file:
            message.set_body(file.read())
        print("described", flush=True)


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(sys.argv[1])
server.connect("client-connected", lambda server, client: client.connect("send-message", on_message))
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( audiotestsrc is-live=true ! rtpL16pay name=pay0 )")
server.get_mount_points().add_factory(sys.argv[2], factory)
assert server.attach(None), "the port is taken"
print("ready", flush=True)
GLib.MainLoop().run()
