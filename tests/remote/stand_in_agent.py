"""`send` of the agent as agent/protocol.py frames it, for tests of the transfer alone."""

SEND = b"""
import json, os, sys
for line in iter(sys.stdin.buffer.readline, b""):
    request = json.loads(line)
    try:
        with open(request["path"], "rb") as file:
            size = max(0, min(request["end"], os.fstat(file.fileno()).st_size) - request["offset"])
            sys.stdout.buffer.write(json.dumps({"size_bytes": size}).encode() + b"\\n")
            file.seek(request["offset"])
            while size:
                data = file.read(min(size, 1 << 18))
                sys.stdout.buffer.write(data)
                size -= len(data)
    except OSError as error:
        sys.stdout.buffer.write(json.dumps({"error": error.strerror}).encode() + b"\\n")
    sys.stdout.buffer.flush()
"""
