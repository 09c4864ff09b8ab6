/*
 * Squid's directives: the table, and what its rows do that mean nothing here.
 */
#include "forward/squid_policy.h"

#include "base/attr.h"
#include "base/err.h"
#include "conf/nearest.h"
#include "forward/squid_line.h"

static int line_idle(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    static const char *const why[] = { " here",
                                       ": the forward side does not cache",
                                       ": logs are rotated from outside, then opened anew on USR1",
                                       ": error_log has a level",
                                       ": neighbours are not asked by UDP",
                                       ": core files are the system's business",
                                       ": request_timeout and client_idle_pconn_timeout hold for it too",
                                       ": connections are kept and half closed as HTTP/1.1 has it",
                                       ": only HTTP is spoken to targets",
                                       ": names are kept as \"resolver\" has it",
                                       ": pages are short and in English",
                                       ": requests are counted when maxconn needs it" };
    fwd_warn(&p->c, n, -1, "\"%.*s\" has no effect%s", SLICE_FMT(n->name), why[which]);
    return OK;
}

/* Of the processes, not of the proxy: whoever starts us with that file as the whole configuration has minded it. */
static int line_main(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    if (!n->nargs)
        return fwd_error(&p->c, n, -1, "\"%.*s\" needs a value", SLICE_FMT(n->name));
    if (!bundle_option(p->c.bundle, SLICE("squid")).n)
        fwd_warn(&p->c, n, -1, "\"%.*s\" has no effect inside of a forward block: say so outside of http",
                 SLICE_FMT(n->name));
    return OK;
}

static int line_refused(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    return fwd_error(&p->c, n, -1, "\"%.*s\" of Squid is not supported", SLICE_FMT(n->name));
}

static const struct squid_directive {
    slice name;
    int (*line)(struct fwd_policy *p, const struct conf_node *n, uint32_t which);
    uint32_t which;
} table[] = {
    { SLICE("acl"), squid_line_acl },
    { SLICE("http_access"), squid_line_rules, 0 },
    { SLICE("http_reply_access"), squid_line_rules, 1 },
    { SLICE("always_direct"), squid_line_rules, 2 },
    { SLICE("never_direct"), squid_line_rules, 3 },
    { SLICE("tcp_outgoing_address"), squid_line_outgoing },
    { SLICE("http_port"), squid_line_port },
    { SLICE("cache_peer"), squid_line_peer },
    { SLICE("cache_peer_access"), squid_line_peer_access },
    { SLICE("request_header_access"), squid_line_header, 0 },
    { SLICE("reply_header_access"), squid_line_header, 1 },
    { SLICE("request_header_replace"), squid_line_header, 2 },
    { SLICE("reply_header_replace"), squid_line_header, 3 },
    { SLICE("request_header_add"), squid_line_header_add },
    { SLICE("deny_info"), squid_line_deny_info },
    { SLICE("via"), squid_line_via },
    { SLICE("nonhierarchical_direct"), squid_line_nonhierarchical },
    { SLICE("prefer_direct"), squid_line_prefer_direct },
    { SLICE("forwarded_for"), squid_line_forwarded },
    { SLICE("auth_param"), squid_line_auth },
    { SLICE("visible_hostname"), squid_line_hostname, 0 },
    { SLICE("unique_hostname"), squid_line_hostname, 1 },
    { SLICE("error_directory"), squid_line_hostname, 2 },
    { SLICE("cache_mgr"), squid_line_hostname, 3 },
    { SLICE("dns_nameservers"), squid_line_nameservers },
    { SLICE("access_log"), squid_line_log },
    { SLICE("logformat"), squid_line_format },
    { SLICE("connect_timeout"), squid_line_time, FWD_CONNECT_TIMEOUT },
    { SLICE("read_timeout"), squid_line_time, FWD_READ_TIMEOUT },
    { SLICE("write_timeout"), squid_line_time, FWD_WRITE_TIMEOUT },
    { SLICE("request_timeout"), squid_line_time, FWD_REQUEST_TIMEOUT },
    { SLICE("client_lifetime"), squid_line_time, FWD_CLIENT_LIFETIME },
    { SLICE("client_idle_pconn_timeout"), squid_line_time, FWD_CLIENT_IDLE_PCONN_TIMEOUT },
    { SLICE("server_idle_pconn_timeout"), squid_line_time, FWD_SERVER_IDLE_PCONN_TIMEOUT },
    { SLICE("forward_timeout"), squid_line_time, FWD_FORWARD_TIMEOUT },
    { SLICE("dns_timeout"), squid_line_time, FWD_DNS_TIMEOUT },
    { SLICE("peer_connect_timeout"), squid_line_time, FWD_PEER_CONNECT_TIMEOUT },
    { SLICE("request_header_max_size"), squid_line_size, FWD_REQUEST_HEADER_MAX_SIZE },
    { SLICE("reply_header_max_size"), squid_line_size, FWD_REPLY_HEADER_MAX_SIZE },
    { SLICE("request_body_max_size"), squid_line_size, FWD_REQUEST_BODY_MAX_SIZE },
    { SLICE("client_ip_max_connections"), squid_line_size, FWD_CLIENT_IP_MAX_CONNECTIONS },
    { SLICE("pid_filename"), line_main },
    { SLICE("cache_log"), line_main },
    { SLICE("cache_effective_user"), line_main },
    { SLICE("cache_effective_group"), line_main },
    { SLICE("max_filedescriptors"), line_main },
    { SLICE("max_filedesc"), line_idle },
    { SLICE("workers"), line_main },
    { SLICE("shutdown_lifetime"), line_main },
    { SLICE("coredump_dir"), line_idle, 5 },
    { SLICE("logfile_rotate"), line_idle, 2 },
    { SLICE("debug_options"), line_idle, 3 },
    { SLICE("error_default_language"), line_idle, 10 },
    { SLICE("httpd_suppress_version_string"), line_idle },
    { SLICE("icp_port"), line_idle, 4 },
    { SLICE("htcp_port"), line_idle, 4 },
    { SLICE("snmp_port"), line_idle, 4 },
    { SLICE("udp_incoming_address"), line_idle, 4 },
    { SLICE("udp_outgoing_address"), line_idle, 4 },
    { SLICE("icp_access"), line_idle, 4 },
    { SLICE("htcp_access"), line_idle, 4 },
    { SLICE("snmp_access"), line_idle, 4 },
    { SLICE("request_start_timeout"), line_idle, 6 },
    { SLICE("pconn_timeout"), squid_line_time, FWD_SERVER_IDLE_PCONN_TIMEOUT },
    { SLICE("persistent_request_timeout"), squid_line_time, FWD_CLIENT_IDLE_PCONN_TIMEOUT },
    { SLICE("half_closed_clients"), line_idle, 7 },
    { SLICE("server_persistent_connections"), line_idle, 7 },
    { SLICE("client_persistent_connections"), line_idle, 7 },
    { SLICE("pipeline_prefetch"), line_idle, 7 },
    { SLICE("buffered_logs"), line_idle },
    { SLICE("client_db"), line_idle, 11 },
    { SLICE("log_mime_hdrs"), line_idle },
    { SLICE("strip_query_terms"), squid_line_strip_query },
    { SLICE("dns_v4_first"), line_idle, 9 },
    { SLICE("dns_defnames"), line_idle, 9 },
    { SLICE("positive_dns_ttl"), line_idle, 9 },
    { SLICE("negative_dns_ttl"), line_idle, 9 },
    { SLICE("hosts_file"), line_idle, 9 },
    { SLICE("ipcache_size"), line_idle, 9 },
    { SLICE("ipcache_low"), line_idle, 9 },
    { SLICE("ipcache_high"), line_idle, 9 },
    { SLICE("fqdncache_size"), line_idle, 9 },
    { SLICE("memory_pools"), line_idle },
    { SLICE("memory_pools_limit"), line_idle },
    { SLICE("ftp_user"), line_idle, 8 },
    { SLICE("ftp_passive"), line_idle, 8 },
    { SLICE("unlinkd_program"), line_idle, 1 },
    { SLICE("mime_table"), line_idle, 8 },
    { SLICE("pinger_enable"), line_idle },
    { SLICE("pinger_program"), line_idle },
    { SLICE("quick_abort_pct"), line_idle, 1 },
    { SLICE("negative_ttl"), line_idle, 1 },
    { SLICE("collapsed_forwarding"), line_idle, 1 },
    { SLICE("range_offset_limit"), line_idle, 1 },
    { SLICE("memory_replacement_policy"), line_idle, 1 },
    { SLICE("memory_cache_mode"), line_idle, 1 },
    { SLICE("store_avg_object_size"), line_idle, 1 },
    { SLICE("store_objects_per_bucket"), line_idle, 1 },
    { SLICE("hierarchy_stoplist"), line_idle, 1 },
    { SLICE("minimum_expiry_time"), line_idle, 1 },
    { SLICE("reload_into_ims"), line_idle, 1 },
    { SLICE("refresh_all_ims"), line_idle, 1 },
    { SLICE("vary_ignore_expire"), line_idle, 1 },
    { SLICE("offline_mode"), line_refused },
    { SLICE("send_hit"), line_idle, 1 },
    { SLICE("store_miss"), line_idle, 1 },
    { SLICE("refresh_pattern"), line_idle, 1 },
    { SLICE("cache"), line_idle, 1 },
    { SLICE("cache_mem"), line_idle, 1 },
    { SLICE("cache_dir"), line_idle, 1 },
    { SLICE("maximum_object_size"), line_idle, 1 },
    { SLICE("minimum_object_size"), line_idle, 1 },
    { SLICE("maximum_object_size_in_memory"), line_idle, 1 },
    { SLICE("cache_replacement_policy"), line_idle, 1 },
    { SLICE("cache_store_log"), line_idle, 1 },
    { SLICE("cache_swap_low"), line_idle, 1 },
    { SLICE("cache_swap_high"), line_idle, 1 },
    { SLICE("quick_abort_min"), line_idle, 1 },
    { SLICE("quick_abort_max"), line_idle, 1 },
    { SLICE("https_port"), line_refused },
    { SLICE("ssl_bump"), line_refused },
    { SLICE("sslcrtd_program"), line_refused },
    { SLICE("delay_pools"), line_refused },
    { SLICE("delay_class"), line_refused },
    { SLICE("delay_parameters"), line_refused },
    { SLICE("delay_access"), line_refused },
    { SLICE("icap_enable"), line_refused },
    { SLICE("icap_service"), line_refused },
    { SLICE("adaptation_access"), line_refused },
    { SLICE("url_rewrite_program"), line_refused },
    { SLICE("url_rewrite_access"), line_refused },
    { SLICE("redirect_program"), line_refused },
    { SLICE("external_acl_type"), line_refused },
    { SLICE("store_id_program"), line_refused },
    { SLICE("tcp_outgoing_mark"), line_refused },
    { SLICE("follow_x_forwarded_for"), line_refused },
    { SLICE("ecap_enable"), line_refused },
    { SLICE("ecap_service"), line_refused },
    { SLICE("icap_preview_enable"), line_refused },
    { SLICE("icap_preview_size"), line_refused },
    { SLICE("icap_send_client_ip"), line_refused },
    { SLICE("icap_send_client_username"), line_refused },
    { SLICE("icap_class"), line_refused },
    { SLICE("icap_access"), line_refused },
    { SLICE("icap_service_failure_limit"), line_refused },
    { SLICE("icap_persistent_connections"), line_idle },
    { SLICE("adaptation_service_set"), line_refused },
    { SLICE("adaptation_service_chain"), line_refused },
    { SLICE("loadable_modules"), line_refused },
    { SLICE("url_rewrite_children"), line_refused },
    { SLICE("url_rewrite_host_header"), line_refused },
    { SLICE("url_rewrite_bypass"), line_refused },
    { SLICE("url_rewrite_extras"), line_refused },
    { SLICE("redirector_access"), line_refused },
    { SLICE("redirect_children"), line_refused },
    { SLICE("location_rewrite_program"), line_refused },
    { SLICE("authenticate_ttl"), line_refused },
    { SLICE("authenticate_ip_ttl"), line_refused },
    { SLICE("delay_initial_bucket_level"), line_refused },
    { SLICE("client_delay_pools"), line_refused },
    { SLICE("client_delay_access"), line_refused },
    { SLICE("client_delay_parameters"), line_refused },
    { SLICE("response_delay_pool"), line_refused },
    { SLICE("response_delay_pool_access"), line_refused },
    { SLICE("sslproxy_cert_error"), line_refused },
    { SLICE("sslproxy_flags"), line_refused },
    { SLICE("sslproxy_cafile"), line_refused },
    { SLICE("sslcrtd_children"), line_refused },
    { SLICE("sslproxy_cert_adapt"), line_refused },
    { SLICE("tls_outgoing_options"), line_refused },
    { SLICE("sslpassword_program"), line_refused },
    { SLICE("tcp_outgoing_tos"), line_refused },
    { SLICE("clientside_tos"), line_refused },
    { SLICE("clientside_mark"), line_refused },
    { SLICE("mark_client_packet"), line_refused },
    { SLICE("qos_flows"), line_refused },
    { SLICE("wccp_router"), line_refused },
    { SLICE("wccp2_router"), line_refused },
    { SLICE("wccp2_service"), line_refused },
    { SLICE("wccp2_forwarding_method"), line_refused },
    { SLICE("wccp2_return_method"), line_refused },
    { SLICE("ftp_port"), line_refused },
    { SLICE("cache_peer_domain"), line_refused },
    { SLICE("neighbor_type_domain"), line_refused },
    { SLICE("adapted_http_access"), line_refused },
    { SLICE("spoof_client_ip"), line_refused },
    { SLICE("forward_max_tries"), line_refused },
    { SLICE("client_request_buffer_max_size"), line_refused },
    { SLICE("reply_body_max_size"), line_refused },
    { SLICE("reply_header_add"), line_refused },
    { SLICE("store_id_access"), line_refused },
    { SLICE("cachemgr_passwd"), line_idle },
    { SLICE("htcp_clr_access"), line_refused },
    { SLICE("miss_access"), line_refused },
    { SLICE("ident_lookup_access"), line_refused },
    { SLICE("ident_timeout"), line_idle },
    { SLICE("stats_collection"), line_idle },
    { SLICE("logfile_daemon"), line_idle },
    { SLICE("on_unsupported_protocol"), line_refused },
    { SLICE("host_verify_strict"), line_refused },
    { SLICE("client_dst_passthru"), line_refused },
    { SLICE("host_strict_verify"), line_refused },
    { SLICE("check_hostnames"), line_idle },
    { SLICE("allow_underscore"), line_idle },
    { SLICE("append_domain"), line_refused },
    { SLICE("ignore_expect_100"), line_refused },
    { SLICE("acl_uses_indirect_client"), line_refused },
    { SLICE("delay_pool_uses_indirect_client"), line_refused },
    { SLICE("log_uses_indirect_client"), line_refused },
    { SLICE("windows_ipaddrchangemonitor"), line_refused },
    { SLICE("chroot"), line_refused },
    { SLICE("hopeless_kid_revival_delay"), line_idle },
    { SLICE("cpu_affinity_map"), line_idle },
    { SLICE("snmp_community"), line_idle },
    { SLICE("as_whois_server"), line_idle },
    { SLICE("err_page_stylesheet"), line_idle, 10 },
    { SLICE("email_err_data"), line_idle, 10 },
    { SLICE("err_html_text"), line_idle, 10 },
    { SLICE("uri_whitespace"), line_refused },
    { SLICE("umask"), line_idle },
    { SLICE("relaxed_header_parser"), line_idle },
    { SLICE("tproxy"), line_refused },
    { SLICE("httpd_accel_host"), line_refused },
    { SLICE("httpd_accel_port"), line_refused },
    { SLICE("accel_no_pmtu_disc"), line_refused },
};

_Static_assert(array_len(table) <= FWD_DIRECTIVES, "struct fwd_policy.warned");

int fwd_policy_init(struct fwd_policy *p, struct arena *a, struct bundle *b, struct conf_diag *d)
{
    *p = (struct fwd_policy){ .c = { .arena = a, .bundle = b, .diag = d }, .via = true };
    p->auth_case = p->nonhierarchical_direct = true;
    fwd_rules_init(&p->http_access, false);
    fwd_rules_init(&p->http_reply_access, true);
    fwd_rules_init(&p->always_direct, false);
    fwd_rules_init(&p->never_direct, false);
    fwd_rules_init(&p->outgoing, false);
    return fwd_acls_init(&p->acls, &p->c);
}

void fwd_policy_done(struct fwd_policy *p)
{
    fwd_acls_done(&p->acls);
}

int fwd_policy_line(struct fwd_policy *p, const struct conf_node *node)
{
    for (size_t i = 0; i < array_len(table); i++) {
        if (!slice_eq(table[i].name, node->name))
            continue;
        if (table[i].line == line_idle && p->warned[i]) /* once is enough of refresh_pattern */
            return OK;
        p->warned[i] = true;
        return table[i].line(p, node, table[i].which);
    }
    return ERR_NOTFOUND;
}

static int unknown_line(struct fwd_policy *p, const struct conf_node *node)
{
    struct nearest near;
    nearest_init(&near, node->name);
    for (size_t i = 0; i < array_len(table); i++)
        nearest_offer(&near, table[i].name);
    if (near.best.n)
        return fwd_error(&p->c, node, -1, "unknown directive \"%.*s\", did you mean \"%.*s\"?", SLICE_FMT(node->name),
                         SLICE_FMT(near.best));
    return fwd_error(&p->c, node, -1, "unknown directive \"%.*s\"", SLICE_FMT(node->name));
}

int fwd_policy_nodes(struct fwd_policy *p, const struct conf_node *first)
{
    int result = OK;
    for (const struct conf_node *n = first; n; n = n->next) {
        int rc = fwd_policy_line(p, n);
        if (rc == ERR_NOTFOUND)
            rc = unknown_line(p, n);
        if (rc == ERR_NOMEM)
            return rc;
        result = rc ? rc : result;
    }
    return result;
}

int fwd_policy_finish(struct fwd_policy *p)
{
    return fwd_acls_finish(&p->acls, &p->c);
}
