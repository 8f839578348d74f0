"""GStreamer's RTSP server; run by the distribution's Python, which has its bindings.

    /usr/bin/python3 gst_rtsp_server.py PORT /path=pipeline ... [--user NAME:PASSWORD] [--certificate PEM]

Prints `ready` when it listens.
"""

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("streams", nargs="+")
    parser.add_argument("--user")
    parser.add_argument("--certificate")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=arguments.port)
    protect(server, arguments.user, arguments.certificate)
    for stream in arguments.streams:
        path, _, pipeline = stream.partition("=")
        factory = GstRtspServer.RTSPMediaFactory(launch=f"( {pipeline} )")
        allow(factory)
        server.get_mount_points().add_factory(path, factory)
    if not server.attach(None):
        raise SystemExit(f"port {arguments.port} can't be taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


def protect(server: GstRtspServer.RTSPServer, user: str | None, certificate: str | None) -> None:
    """Ask for digest credentials, speak TLS, or both."""
    if not user and not certificate:
        return
    auth = GstRtspServer.RTSPAuth()
    if certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(certificate))
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, ROLE)
    if user:
        name, _, password = user.partition(":")
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(name, password, token)
    else:
        auth.set_default_token(token)
    server.set_auth(auth)


def allow(factory: GstRtspServer.RTSPMediaFactory) -> None:
    kinds = (GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT)
    rights = ", ".join(f"{kind}=(boolean)true" for kind in kinds)
    factory.add_role_from_structure(Gst.Structure.from_string(f"{ROLE}, {rights}")[0])


main()
