"""The manual against the program: what it lists can be written, and what nginx documents is in it."""
import re

import pytest
from tools.wire import lines

# Lines of nginx's manual that have no meaning here, each where it may stand.
MAIN = """timer_resolution 100ms; pcre_jit on; thread_pool default threads=32; lock_file logs/nginx.lock; ssl_engine off; load_module modules/x.so;
    debug_points abort;"""
EVENTS = "multi_accept on; accept_mutex on; accept_mutex_delay 500ms; worker_aio_requests 32; debug_connection 127.0.0.1;"
UPSTREAM = "zone backend 64k;"
LOCATION = """client_body_in_single_buffer on; types_hash_max_size 1024; types_hash_bucket_size 64; tcp_nopush on; sendfile on; sendfile_max_chunk 2m;
    aio on; aio_write on; directio 4m; directio_alignment 512; output_buffers 2 32k; read_ahead 0; postpone_output 1460; msie_padding on; msie_refresh off;
    subrequest_output_buffer_size 4k; http2_push_preload on; http2_push /a.css; referer_hash_max_size 2048; referer_hash_bucket_size 64;
    proxy_send_lowat 0; proxy_headers_hash_max_size 512; proxy_headers_hash_bucket_size 64; tunnel_send_lowat 0; gzip_buffers 16 8k; gzip_window 16k;
    gzip_hash 16k; gzip_no_buffer on; postpone_gzipping 1k;"""
SERVER = "connection_pool_size 512; request_pool_size 4k; http2_pool_size 4k; http2_streams_index_size 32;"
HTTP = """server_names_hash_max_size 512; server_names_hash_bucket_size 64; variables_hash_max_size 1024; variables_hash_bucket_size 64;
    map_hash_max_size 2048; map_hash_bucket_size 64; http2_recv_buffer_size 256k;"""

TUNING = f"""{MAIN} events {{ {EVENTS} }}
http {{ {HTTP} upstream backend {{ {UPSTREAM} server 127.0.0.1:9; }}
server {{ listen %%port%%; {SERVER} location / {{ {LOCATION} proxy_pass http://backend; }} }} }}"""

# Every variable that nginx 1.31's manual has for the modules that are here; "x" stands for a name.
VARIABLES = """arg_x args binary_remote_addr body_bytes_sent bytes_sent connection connection_requests connection_time content_length content_type
    cookie_x document_root document_uri host hostname http_x https is_args is_request_port limit_rate msec nginx_version pid pipe proxy_protocol_addr
    proxy_protocol_port proxy_protocol_server_addr proxy_protocol_server_port proxy_protocol_tlv_alpn query_string realpath_root remote_addr remote_port
    remote_user request request_body request_body_file request_completion request_filename request_id request_length request_method request_port
    request_time request_uri scheme sent_http_x sent_trailer_x server_addr server_name server_port server_protocol status tcpinfo_rtt tcpinfo_rttvar
    tcpinfo_snd_cwnd tcpinfo_rcv_space time_iso8601 time_local uri
    upstream_addr upstream_bytes_received upstream_bytes_sent upstream_cache_status upstream_connect_time upstream_cookie_x upstream_header_time
    upstream_http_x upstream_response_length upstream_response_time upstream_status upstream_trailer_x proxy_host proxy_port proxy_add_x_forwarded_for
    realip_remote_addr realip_remote_port gzip_ratio connections_active connections_reading connections_writing connections_waiting http2""".split()


@pytest.fixture
def manual(hinge):
    return hinge.prepare("events { }").run("--docs", check=0).stdout


def test_each_line_without_effect_is_accepted_with_a_warning(hinge, manual):
    listed = set(re.findall(r"^- `(\w+)`: ", manual, re.M))
    err = hinge.prepare(TUNING).run("-t", check=0).stderr
    warned = re.findall(r'\[warn\] "(\w+)" directive has no effect', err)
    assert sorted(warned) == sorted(listed), err


def test_each_variable_of_nginx_is_there(hinge):
    used = " ".join(f"${name}" for name in VARIABLES)
    h = hinge.http(f"log_format all '{used}'; server {{ listen %%port%%; access_log %%dir%%/l.log all; return 200; }}")
    h.get("/")
    assert len(h.wait_lines("l.log")) == 1


def test_each_variable_of_the_manual_can_be_written(hinge, manual):
    """At the place where everything is known. Those with NAME in them stand for many."""
    names = [n.replace("NAME", "x") for n in re.findall(r"^- `\$(\w+)`: ", manual, re.M)]
    assert len(names) > 80
    used = " ".join(f"${name}" for name in names)
    hinge.prepare_http(f"log_format all '{used}'; server {{ listen %%port%%; access_log %%dir%%/l.log all; return 200; }}").run("-t", check=0)


def test_ports_as_their_variables_say_them(hinge):
    h = hinge.server("return 200 '$host$is_request_port$request_port $tcpinfo_rcv_space';")
    assert re.fullmatch(r"a:8081 [1-9]\d*", h.get("/", host="a:8081").text)
    assert re.fullmatch(r"a [1-9]\d*", h.get("/", host="a").text)


def test_the_port_of_who_is_connected(hinge):
    h = hinge.server("set_real_ip_from 127.0.0.1; return 200 '$remote_addr:$remote_port $realip_remote_addr:$realip_remote_port';")
    with h.connect() as c:
        mine = c.local[1]
        assert c.ask(lines("GET / HTTP/1.1", "Host: a", "X-Real-IP: 192.0.2.1:99")).text == f"192.0.2.1:99 127.0.0.1:{mine}"
