"""Three processes that call one another over HTTP and are traced by the real OpenTelemetry SDK.

usage: three_services.py grpc|http ENDPOINT SECONDS

frontend -> checkout -> inventory, each in a process of its own, W3C trace context between them.
"""

import json
import multiprocessing
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

CHAIN = ["frontend", "checkout", "inventory"]


def exporter(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https"))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


def serve(service, next_port, protocol, endpoint, port, stop):
    from opentelemetry import propagate, trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import SpanKind

    resource = Resource.create({"service.name": service, "k8s.pod.name": service + "-0"})
    provider = TracerProvider(resource=resource)
    batches = BatchSpanProcessor(exporter(protocol, endpoint), schedule_delay_millis=200)
    provider.add_span_processor(batches)
    tracer = provider.get_tracer("three-services")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            context = propagate.extract(self.headers)
            with tracer.start_as_current_span(
                "GET /" + service, context=context, kind=SpanKind.SERVER
            ):
                # Work between the SERVER and the CLIENT span is an INTERNAL span of its own.
                with tracer.start_as_current_span("prepare"):
                    time.sleep(0.002)
                    if next_port:
                        call(next_port)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    def call(to):
        with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT):
            headers = {}
            propagate.inject(headers)
            request = urllib.request.Request("http://127.0.0.1:%d/" % to, headers=headers)
            urllib.request.urlopen(request, timeout=5).read()

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 0.1
    port.send(server.server_port)
    while not stop.is_set():
        server.handle_request()
    provider.shutdown()


def main(protocol, endpoint, seconds):
    stop = multiprocessing.Event()
    processes, next_port = [], None
    for service in reversed(CHAIN):
        port, child = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.Process(
            target=serve, args=(service, next_port, protocol, endpoint, child, stop)
        )
        process.start()
        processes.append(process)
        next_port = port.recv()
    requests, end = 0, time.time() + seconds
    while time.time() < end:
        urllib.request.urlopen("http://127.0.0.1:%d/" % next_port, timeout=5).read()
        requests += 1
    stop.set()
    for process in processes:
        process.join(10)
    print(json.dumps({"requests": requests}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
