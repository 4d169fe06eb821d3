#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nginx as a server of P20: `server.py --mode http --workers 1` becomes nginx, one process, in the foreground; a child of it says the port when nginx listens there."""
import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

CONF = """\
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid %(dir)s/pid;
error_log stderr crit;
events { worker_connections 20000; use epoll; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        default_type text/plain;
        location / { return 200 "Hello, World!\\n"; }
    }
}
"""


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--mode', choices=['http'])
    p.add_argument('--workers', type=int, choices=[1])
    p.parse_args()
    program = shutil.which('nginx', path=os.environ.get('PATH', '') + ':/usr/sbin')
    said = subprocess.run([program, '-v'], stderr=subprocess.PIPE, text=True, check=True).stderr
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    place = tempfile.mkdtemp(prefix='weft-nginx-')
    conf = os.path.join(place, 'nginx.conf')
    with open(conf, 'w', encoding='utf-8') as f:
        f.write(CONF % {'dir': place, 'port': port})
    if os.fork() == 0:
        for _ in range(1000):
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port), 1).close()
                print('port %d %s' % (port, re.search(r'nginx/(\S+)', said).group(1)), flush=True)
                break
            time.sleep(0.01)
        shutil.rmtree(place, ignore_errors=True)  # nginx has read it, and asks for nothing of it here
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(program, [program, '-e', 'stderr', '-p', place, '-c', conf])


if __name__ == '__main__':
    sys.exit(main())
