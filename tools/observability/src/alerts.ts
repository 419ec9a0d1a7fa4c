/**
 * The alerts: each with the symptom that it is about, and the fault at which a test sees it fire and clear again. What to do is in the runbook,
 * a page each.
 *
 * A page is for what clients or data feel now, or will within the hour; a ticket for what may wait until the morning.
 */
import { burns } from './slos.js';

export interface Alert {
  name: string;
  severity: 'page' | 'ticket';
  expr: string;
  /** How long it must have been so. */
  for: string;
  summary: string;
  fault: Fault;
}

/** A fault, planted in series of one sample a minute, and what they are like when it is mended. */
export interface Fault {
  /** Series: samples while the fault is there, and after. */
  series: Record<string, readonly [during: string, after: string]>;
  /** Minutes at which the alert fires, and is clear again; the fault is mended in between. */
  firesAt: number;
  clearAt: number;
  /** Labels of the alert beside its severity. */
  labels?: Record<string, string>;
}

/** How long a fault is there in a test, in minutes, where nothing else is said, and how long after it is looked again. */
const FAULT_MINUTES = 30;
const CLEAR_MINUTES = 70;

/** A figure that has one value while the fault is there, and another after. */
function gauge(series: string, during: number, after: number, labels: Record<string, string> = {}): Fault {
  return {
    series: { [series]: [`${during}x${FAULT_MINUTES}`, `${after}x${CLEAR_MINUTES}`] },
    firesAt: FAULT_MINUTES,
    clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    labels,
  };
}

/** A counter that grows by so much a minute while the fault is there, and stands still after. */
function counter(series: string, perMinute: number, labels: Record<string, string> = {}): Fault {
  const most = perMinute * FAULT_MINUTES;
  return {
    series: { [series]: [`0+${perMinute}x${FAULT_MINUTES}`, `${most}+0x${CLEAR_MINUTES}`] },
    firesAt: FAULT_MINUTES,
    clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    labels,
  };
}

/** A counter that is there only since it has counted for the first time, as those with labels are: it counts once. */
function first(series: string, labels: Record<string, string>): Fault {
  return {
    series: { [series]: [`_x${FAULT_MINUTES - 5} 1x5`, `1x${CLEAR_MINUTES}`] },
    firesAt: FAULT_MINUTES,
    clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    labels,
  };
}

/** PromQL of a counter that has grown within a window, or was not there before it. */
function grew(counter: string, by: string, window: string): string {
  const sum = (what: string) => `sum by (${by}) (${what})`;
  return `${sum(`increase(${counter}[${window}])`)} > 0 or (${sum(counter)} unless ${sum(`${counter} offset ${window}`)}) > 0`;
}

/** One call in fifty fails for so many minutes, and none after. */
function failing(minutes: number, clearAfter: number): Fault {
  const after = clearAfter + 10;
  return {
    series: {
      'callboard_calls_total{method="tools/call", code="ok"}': [`0+98x${minutes}`, `${98 * minutes}+98x${after}`],
      'callboard_calls_total{method="tools/call", code="internal"}': [`0+2x${minutes}`, `${2 * minutes}+0x${after}`],
    },
    firesAt: minutes,
    clearAt: minutes + clearAfter,
    labels: { slo: 'calls' },
  };
}

/** Ten refusals a minute for hours, which is as usual; then two hundred a minute, and ten again. */
function unusual(): Fault {
  const history = 150;
  return {
    series: {
      'callboard_credentials_refused_total{why="it has expired"}': [
        `0+10x${history} ${10 * history + 200}+200x${FAULT_MINUTES}`,
        `${10 * history + 200 * (FAULT_MINUTES + 1)}+10x${CLEAR_MINUTES}`,
      ],
    },
    firesAt: history + FAULT_MINUTES,
    clearAt: history + FAULT_MINUTES + CLEAR_MINUTES,
  };
}

export const ALERTS: readonly Alert[] = [
  {
    name: 'CallboardErrorBudgetBurnsFast',
    severity: 'page',
    expr: `${burns(14.4, '1h', '5m')} or ${burns(6, '6h', '30m')}`,
    for: '2m',
    summary: 'Callboard breaks a promise so often that its budget for a month is gone within days',
    fault: failing(40, 40),
  },
  {
    name: 'CallboardErrorBudgetBurns',
    severity: 'ticket',
    expr: `${burns(3, '1d', '2h')} or ${burns(1, '3d', '6h')}`,
    for: '1h',
    summary: 'Callboard breaks a promise more often than its budget for a month allows',
    fault: failing(150, 380),
  },
  {
    name: 'CallboardNotReady',
    severity: 'page',
    expr: 'min by (app) (callboard_ready) == 0',
    for: '2m',
    summary: 'A process of an app cannot do its work: it has no connection to NATS, or has not begun',
    fault: gauge('callboard_ready{app="action-runner"}', 0, 1, { app: 'action-runner' }),
  },
  {
    name: 'CallboardNoRunner',
    severity: 'page',
    expr: 'absent(callboard_partitions_owned)',
    for: '2m',
    summary: 'No action-runner is there: commands are accepted and wait',
    fault: {
      series: { callboard_partitions_owned: [`_x${FAULT_MINUTES + 1}`, `16x${CLEAR_MINUTES}`] },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    },
  },
  {
    name: 'CallboardPartitionsUnowned',
    severity: 'page',
    expr: 'max(callboard_partitions) > sum(callboard_partitions_owned)',
    for: '2m',
    summary: 'Some partitions have no owner: their commands wait',
    fault: {
      series: {
        callboard_partitions: [`16x${FAULT_MINUTES}`, `16x${CLEAR_MINUTES}`],
        callboard_partitions_owned: [`9x${FAULT_MINUTES}`, `16x${CLEAR_MINUTES}`],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    },
  },
  {
    name: 'CallboardCommandsStalled',
    severity: 'page',
    expr: 'sum(callboard_commands_buffered) > 0 and sum(rate(callboard_outcomes_total[10m])) == 0 and sum(callboard_commands_running) == 0',
    for: '5m',
    summary: 'Commands wait, none runs and none ends',
    fault: {
      series: {
        callboard_commands_buffered: [`7x${FAULT_MINUTES}`, `0x${CLEAR_MINUTES}`],
        callboard_commands_running: [`0x${FAULT_MINUTES}`, `0x${CLEAR_MINUTES}`],
        'callboard_outcomes_total{action="demo.echo", status="succeeded"}': [
          `5x${FAULT_MINUTES}`,
          `5+1x${CLEAR_MINUTES}`,
        ],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    },
  },
  {
    name: 'CallboardBacklogGrows',
    severity: 'ticket',
    expr: 'deriv(sum(callboard_commands_buffered)[15m:1m]) > 0 and sum(callboard_commands_buffered) > 1000',
    for: '15m',
    summary: 'More commands come than are done',
    fault: {
      series: { callboard_commands_buffered: [`1000+100x60`, `7000-100x60 0x${CLEAR_MINUTES}`] },
      firesAt: 60,
      clearAt: 100,
    },
  },
  {
    name: 'CallboardRetryStorm',
    severity: 'ticket',
    expr: 'sum(rate(callboard_command_retries_total[10m])) > sum(rate(callboard_outcomes_total[10m])) and sum(rate(callboard_command_retries_total[10m])) > 0.1',
    for: '10m',
    summary: 'More attempts are repeated than commands end: a far side fails',
    fault: {
      series: {
        'callboard_command_retries_total{action="far.ask"}': [`0+60x${FAULT_MINUTES}`, `1800+0x${CLEAR_MINUTES}`],
        'callboard_outcomes_total{action="far.ask", status="succeeded"}': [
          `0+1x${FAULT_MINUTES}`,
          `30+60x${CLEAR_MINUTES}`,
        ],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
    },
  },
  {
    name: 'CallboardDeadLetters',
    severity: 'ticket',
    expr: grew('callboard_outcomes_total{status="dead_lettered"}', 'action', '15m'),
    for: '0m',
    summary: 'Commands gave up after their last attempt',
    fault: first('callboard_outcomes_total{action="far.ask", status="dead_lettered"}', { action: 'far.ask' }),
  },
  {
    name: 'CallboardKeysHalted',
    severity: 'page',
    expr: 'max(callboard_keys_halted) > 0',
    for: '5m',
    summary: 'Ordering keys stand still behind a dead letter until an operator decides',
    fault: gauge('callboard_keys_halted', 2, 0),
  },
  {
    name: 'CallboardOverloaded',
    severity: 'page',
    expr: 'sum by (limit) (rate(callboard_refusals_total[5m])) > 0',
    for: '10m',
    summary: 'Requests are refused because a limit is reached',
    fault: counter('callboard_refusals_total{limit="requests"}', 30, { limit: 'requests' }),
  },
  {
    name: 'CallboardErrorLogged',
    severity: 'ticket',
    expr: 'sum by (app) (increase(callboard_log_lines_total{level="error"}[15m])) > 0',
    for: '0m',
    summary: 'An app has logged what a person must act on',
    fault: counter('callboard_log_lines_total{app="pii-filter", level="error"}', 1, { app: 'pii-filter' }),
  },
  {
    name: 'CallboardPoliciesBroken',
    severity: 'ticket',
    expr: 'max by (app) (callboard_policies_broken) > 0',
    for: '5m',
    summary: 'The policies in the files cannot be used; those before are in force',
    fault: gauge('callboard_policies_broken{app="mcp-frontend"}', 1, 0, { app: 'mcp-frontend' }),
  },
  {
    name: 'CallboardQuotasBroken',
    severity: 'ticket',
    expr: 'max(callboard_quotas_broken) > 0',
    for: '5m',
    summary: 'The quotas in the file cannot be used; those before are in force',
    fault: gauge('callboard_quotas_broken', 1, 0),
  },
  {
    name: 'CallboardAuditRefused',
    severity: 'page',
    expr: 'sum(increase(callboard_audit_records_total{what="refused"}[5m])) > 0',
    for: '0m',
    summary: 'The audit stream takes no records: what must be recorded is not done',
    fault: counter('callboard_audit_records_total{what="refused"}', 5),
  },
  {
    name: 'CallboardAuditLost',
    severity: 'ticket',
    expr: 'sum(increase(callboard_audit_records_total{what="lost"}[1h])) > 0',
    for: '0m',
    summary: 'Notes of refusals were lost: more waited than are kept',
    fault: counter('callboard_audit_records_total{what="lost"}', 5),
  },
  {
    name: 'CallboardAuditLag',
    severity: 'page',
    expr: 'max(callboard_audit_lag_seconds) > 300',
    for: '5m',
    summary: 'The ledger is minutes behind the audit stream, which fills',
    fault: gauge('callboard_audit_lag_seconds', 900, 0),
  },
  {
    name: 'CallboardCheckpointsStale',
    severity: 'ticket',
    expr: 'min(callboard_ledger_checkpoint_age_seconds) > 3600',
    for: '10m',
    summary: 'No checkpoint has vouched for the ledger for an hour',
    fault: gauge('callboard_ledger_checkpoint_age_seconds', 7_200, 30),
  },
  {
    name: 'CallboardFilterLags',
    severity: 'page',
    expr: 'max(callboard_filter_oldest_raw_seconds) > 60',
    for: '5m',
    summary: 'Raw events wait for the privacy filter',
    fault: gauge('callboard_filter_oldest_raw_seconds', 600, 0),
  },
  {
    name: 'CallboardEventsHeld',
    severity: 'ticket',
    expr: grew('callboard_filter_held_total', 'reason', '15m'),
    for: '0m',
    summary: 'The privacy filter holds events back that it could not read',
    fault: first('callboard_filter_held_total{reason="too_deep"}', { reason: 'too_deep' }),
  },
  {
    name: 'CallboardFilterPolicyBroken',
    severity: 'ticket',
    expr: 'max(callboard_filter_policy_broken) > 0',
    for: '5m',
    summary: 'The redaction policy in the file cannot be used; the one before is in force',
    fault: gauge('callboard_filter_policy_broken', 1, 0),
  },
  {
    name: 'CallboardFilterWorkersLost',
    severity: 'ticket',
    expr: 'sum by (reason) (increase(callboard_filter_workers_lost_total[30m])) > 5',
    for: '0m',
    summary: 'Events end the threads that redact them',
    fault: counter('callboard_filter_workers_lost_total{reason="timed_out"}', 1, { reason: 'timed_out' }),
  },
  {
    name: 'CallboardEventsMissed',
    severity: 'ticket',
    expr: `sum(increase(callboard_event_truncations_total[1h])) > 0 or ${grew('callboard_bus_gaps_total', 'source', '1h')}`,
    for: '0m',
    summary: 'Events may be missing: a client was away for too long, or a bus had a gap',
    fault: counter('callboard_event_truncations_total', 1),
  },
  {
    name: 'CallboardSagasHalted',
    severity: 'page',
    expr: 'sum(callboard_sagas_halted) > 0',
    for: '5m',
    summary: 'Sagas wait for an operator: a step could not be undone',
    fault: gauge('callboard_sagas_halted', 1, 0),
  },
  {
    name: 'CallboardNotificationsFail',
    severity: 'ticket',
    expr: 'sum(rate(callboard_notification_retries_total[10m])) > 0 unless sum(rate(callboard_notifications_total{ending="sent"}[10m])) > 0',
    for: '10m',
    summary: 'Backstage takes no notifications',
    fault: counter('callboard_notification_retries_total', 6),
  },
  {
    name: 'CallboardDownstreamDrift',
    severity: 'ticket',
    expr: 'max by (server) (callboard_mcp_server_drift) > 0',
    for: '10m',
    summary: 'A downstream MCP server is not as it was pinned',
    fault: gauge('callboard_mcp_server_drift{server="files"}', 1, 0, { server: 'files' }),
  },
  {
    name: 'CallboardCertificateExpires',
    severity: 'ticket',
    expr: 'min by (app, certificate) (callboard_certificate_expires_seconds) < 14 * 86400',
    for: '15m',
    summary: 'A certificate for the connection to NATS expires within two weeks',
    fault: gauge('callboard_certificate_expires_seconds{app="notifier", certificate="own"}', 6 * 86_400, 90 * 86_400, {
      app: 'notifier',
      certificate: 'own',
    }),
  },
  {
    name: 'CallboardCredentialsRefused',
    severity: 'ticket',
    expr: 'sum(increase(callboard_credentials_refused_total[10m])) > 100 unless sum(increase(callboard_credentials_refused_total[10m])) <= 5 * sum(increase(callboard_credentials_refused_total[1d] offset 10m)) / 144',
    for: '5m',
    summary: 'Many more requests than usual are refused for their credentials',
    fault: unusual(),
  },
  {
    name: 'CallboardVolumeNearlyFull',
    severity: 'page',
    expr: 'max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_used_bytes{persistentvolumeclaim=~".*callboard.*"} / kubelet_volume_stats_capacity_bytes) > 0.85',
    for: '10m',
    summary: 'A volume of NATS or of the ledger is nearly full',
    fault: {
      series: {
        'kubelet_volume_stats_used_bytes{namespace="callboard", persistentvolumeclaim="data-callboard-nats-0"}': [
          `95x${FAULT_MINUTES}`,
          `40x${CLEAR_MINUTES}`,
        ],
        'kubelet_volume_stats_capacity_bytes{namespace="callboard", persistentvolumeclaim="data-callboard-nats-0"}': [
          `100x${FAULT_MINUTES}`,
          `100x${CLEAR_MINUTES}`,
        ],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
      labels: { namespace: 'callboard', persistentvolumeclaim: 'data-callboard-nats-0' },
    },
  },
  {
    name: 'CallboardTracesLost',
    severity: 'ticket',
    expr: 'sum(rate(callboard_trace_spans_total{what="lost"}[15m])) > 0',
    for: '15m',
    summary: 'The collector does not take traces',
    fault: counter('callboard_trace_spans_total{what="lost"}', 100),
  },
  {
    name: 'CallboardStreamNearLimit',
    severity: 'page',
    expr: 'max by (stream_name) (nats_stream_total_bytes{stream_name=~"COMMANDS|AUDIT|DEAD_LETTERS|EVENTS_RAW|EVENTS_HELD|SAGAS"} / (nats_stream_limit_bytes > 0)) > 0.9',
    for: '5m',
    summary: 'A stream that refuses what it has no room for is nearly full',
    fault: {
      series: {
        'nats_stream_total_bytes{stream_name="COMMANDS", is_stream_leader="true"}': [
          `950x${FAULT_MINUTES}`,
          `100x${CLEAR_MINUTES}`,
        ],
        'nats_stream_limit_bytes{stream_name="COMMANDS", is_stream_leader="true"}': [
          `1000x${FAULT_MINUTES}`,
          `1000x${CLEAR_MINUTES}`,
        ],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
      labels: { stream_name: 'COMMANDS' },
    },
  },
  {
    name: 'CallboardNatsStorageNearLimit',
    severity: 'page',
    expr: 'max by (server_name) (nats_server_total_message_bytes / (nats_server_max_storage > 0)) > 0.85',
    for: '10m',
    summary: 'A nats-server has nearly as much as it may store',
    fault: {
      series: {
        'nats_server_total_message_bytes{server_name="n1"}': [`90x${FAULT_MINUTES}`, `10x${CLEAR_MINUTES}`],
        'nats_server_max_storage{server_name="n1"}': [`100x${FAULT_MINUTES}`, `100x${CLEAR_MINUTES}`],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
      labels: { server_name: 'n1' },
    },
  },
  {
    name: 'CallboardNatsNodeGone',
    severity: 'page',
    expr: 'count(nats_server_total_streams) < max_over_time(count(nats_server_total_streams)[1h:1m])',
    for: '5m',
    summary: 'A node of the NATS cluster is gone: one more and nothing is stored',
    fault: {
      series: {
        'nats_server_total_streams{server_name="n1"}': [`14x${FAULT_MINUTES}`, `14x${CLEAR_MINUTES}`],
        'nats_server_total_streams{server_name="n2"}': [`14x${FAULT_MINUTES}`, `14x${CLEAR_MINUTES}`],
        'nats_server_total_streams{server_name="n3"}': [`14x5 stale _x${FAULT_MINUTES - 7}`, `14x${CLEAR_MINUTES}`],
      },
      firesAt: FAULT_MINUTES - 5,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES - 5,
    },
  },
  {
    name: 'CallboardNatsNoLeader',
    severity: 'page',
    expr: '(count by (stream_name) (nats_stream_total_bytes) unless on (stream_name) nats_stream_total_bytes{is_stream_leader="true"}) > 0',
    for: '2m',
    summary: 'A stream has no leader: nothing is stored in it',
    fault: {
      series: {
        'nats_stream_total_bytes{stream_name="COMMANDS", is_stream_leader="false"}': [
          `10x${FAULT_MINUTES}`,
          `10x${CLEAR_MINUTES}`,
        ],
        'nats_stream_total_bytes{stream_name="COMMANDS", is_stream_leader="true"}': [
          `_x${FAULT_MINUTES + 1}`,
          `10x${CLEAR_MINUTES}`,
        ],
      },
      firesAt: FAULT_MINUTES,
      clearAt: FAULT_MINUTES + CLEAR_MINUTES,
      labels: { stream_name: 'COMMANDS' },
    },
  },
];
