"""An RTSP server of GStreamer (gst-rtsp-server) that describes a session by a file: PORT PATH DESCRIPTION.

Requests, answers and connections are GStreamer's; only the text of the description is put into its answer. When the file
changes, everybody who is connected is told by ANNOUNCE.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


SDP = "application/sdp"
clients, known = [], None


def description():
    with open(sys.argv[3], "rb") as file:
        return file.read()


def on_client(server, client):
    clients.append(client)
    client.connect("send-message", on_message)
    client.connect("handle-response", lambda client, context: print("taken", flush=True))
    client.connect("closed", clients.remove)


def on_message(client, session, message):
    result, kind = message.get_header(GstRtsp.RTSPHeaderField.CONTENT_TYPE, 0)
    is_answer = message.type == GstRtsp.RTSPMsgType.RESPONSE
    if is_answer and result == GstRtsp.RTSPResult.OK and kind == SDP:
        message.set_body(description())
        print("described", flush=True)


def look():
    global known
    before, known = known, description()
    if before not in (None, known):
        for client in clients:
            _, message = GstRtsp.rtsp_message_new_request(GstRtsp.RTSPMethod.ANNOUNCE, "rtsp://server" + sys.argv[2])
            message.add_header(GstRtsp.RTSPHeaderField.CONTENT_TYPE, SDP)
            message.set_body(known)
            client.send_message(None, message)
    return True


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(sys.argv[1])
server.connect("client-connected", on_client)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( audiotestsrc is-live=true ! rtpL16pay name=pay0 )")
server.get_mount_points().add_factory(sys.argv[2], factory)
assert server.attach(None), "the port is taken"
GLib.timeout_add(50, look)
print("ready", flush=True)
GLib.MainLoop().run()
