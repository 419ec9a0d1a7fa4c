/** The dashboards, as code: five, each with the questions that it answers as titles of its panels. */
import {
  DashboardBuilder,
  DatasourceVariableBuilder,
  RowBuilder,
  type PanelBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { SLOS, badShare } from './slos.js';

interface Panel {
  title: string;
  /** Where it is not a number. */
  unit?: 's' | 'bytes' | 'percentunit' | 'ops';
  /** A figure of now, and no curve. */
  now?: boolean;
  /** PromQL, with what its curves are called. */
  curves: readonly (readonly [expr: string, legend: string])[];
}

export interface Board {
  uid: string;
  title: string;
  description: string;
  rows: readonly (readonly [title: string, panels: readonly Panel[]])[];
}

const RATE = '$__rate_interval';
const SOURCE = { type: 'prometheus', uid: '${datasource}' };

const perSecond = (counter: string, by: string): readonly [string, string] => [
  `sum by (${by}) (rate(${counter}[${RATE}]))`,
  `{{${by}}}`,
];
const quantiles = (histogram: string) =>
  [0.5, 0.95, 0.99].map(
    (q) => [`histogram_quantile(${q}, sum by (le) (rate(${histogram}_bucket[${RATE}])))`, `p${q * 100}`] as const,
  );
const figure = (expr: string, legend = ''): readonly [string, string] => [expr, legend];

export const BOARDS: readonly Board[] = [
  {
    uid: 'callboard-overview',
    title: 'Callboard: overview',
    description: 'Is it well? Promises first, then each app by rate, errors and time.',
    rows: [
      [
        'Promises',
        SLOS.map(({ name, promise, objective }) => ({
          title: promise,
          unit: 'percentunit' as const,
          now: true,
          curves: [
            figure(`1 - (${badShare('3d')}{slo="${name}"} or vector(0))`, `3 days; at least ${objective * 100} %`),
          ],
        })),
      ],
      [
        'Calls',
        [
          {
            title: 'Calls, by how they were answered',
            unit: 'ops',
            curves: [perSecond('callboard_calls_total', 'code')],
          },
          { title: 'How long a call takes', unit: 's', curves: quantiles('callboard_call_seconds') },
          {
            title: 'What is refused at a limit',
            unit: 'ops',
            curves: [perSecond('callboard_refusals_total', 'limit')],
          },
          {
            title: 'Who is refused for credentials or by policy',
            unit: 'ops',
            curves: [
              perSecond('callboard_credentials_refused_total', 'why'),
              perSecond('callboard_denials_total', 'action'),
            ],
          },
        ],
      ],
      [
        'Processes',
        [
          { title: 'Processes that can do their work', curves: [figure('sum by (app) (callboard_ready)', '{{app}}')] },
          {
            title: 'Lines of log that ask for a person',
            curves: [figure(`sum by (app) (increase(callboard_log_lines_total{level="error"}[${RATE}]))`, '{{app}}')],
          },
          {
            title: 'Processors',
            curves: [figure(`sum by (app) (rate(process_cpu_seconds_total[${RATE}]))`, '{{app}}')],
          },
          {
            title: 'Memory',
            unit: 'bytes',
            curves: [figure('sum by (app) (process_resident_memory_bytes)', '{{app}}')],
          },
          {
            title: 'Lag of the event loop',
            unit: 's',
            curves: [figure('max by (app) (nodejs_eventloop_lag_p99_seconds)', '{{app}}')],
          },
          { title: 'Spans of traces', unit: 'ops', curves: [perSecond('callboard_trace_spans_total', 'what')] },
        ],
      ],
      [
        'NATS',
        [
          {
            title: 'Stored, of what may be',
            unit: 'percentunit',
            curves: [figure('nats_server_total_message_bytes / (nats_server_max_storage > 0)', '{{server_name}}')],
          },
          {
            title: 'Streams, of their limits',
            unit: 'percentunit',
            curves: [
              figure(
                'max by (stream_name) (nats_stream_total_bytes / (nats_stream_limit_bytes > 0))',
                '{{stream_name}}',
              ),
            ],
          },
          {
            title: 'Messages stored',
            unit: 'ops',
            curves: [figure(`max by (stream_name) (rate(nats_stream_last_seq[${RATE}]))`, '{{stream_name}}')],
          },
          { title: 'Nodes', now: true, curves: [figure('count(nats_server_total_streams)')] },
        ],
      ],
    ],
  },
  {
    uid: 'callboard-commands',
    title: 'Callboard: commands and ordering',
    description: 'What is done with commands, and what stands in their way.',
    rows: [
      [
        'Flow',
        [
          {
            title: 'Commands that ended, by how',
            unit: 'ops',
            curves: [perSecond('callboard_outcomes_total', 'status')],
          },
          { title: 'From acceptance to outcome', unit: 's', curves: quantiles('callboard_command_seconds') },
          {
            title: 'From acceptance to the first attempt',
            unit: 's',
            curves: quantiles('callboard_command_wait_seconds'),
          },
          { title: 'How long attempts take', unit: 's', curves: quantiles('callboard_attempt_seconds') },
        ],
      ],
      [
        'Waiting',
        [
          {
            title: 'Commands in runners',
            curves: [
              figure('sum(callboard_commands_running)', 'run'),
              figure('sum(callboard_commands_buffered)', 'are read ahead or run'),
            ],
          },
          {
            title: 'Callers that wait',
            curves: [
              figure('sum(callboard_commands_waiting)', 'wait'),
              figure('sum(callboard_commands_open)', 'commands that have not ended'),
            ],
          },
          { title: 'Keys that stand still', now: true, curves: [figure('max(callboard_keys_halted)')] },
          {
            title: 'Partitions with an owner',
            curves: [
              figure('sum(callboard_partitions_owned)', 'owned'),
              figure('max(callboard_partitions)', 'there are'),
            ],
          },
        ],
      ],
      [
        'Failures',
        [
          {
            title: 'Attempts after the first',
            unit: 'ops',
            curves: [perSecond('callboard_command_retries_total', 'action')],
          },
          {
            title: 'Dead letters',
            curves: [
              figure(
                `sum by (action) (increase(callboard_outcomes_total{status="dead_lettered"}[${RATE}]))`,
                '{{action}}',
              ),
            ],
          },
          {
            title: 'Attempts, by how they ended',
            unit: 'ops',
            curves: [perSecond('callboard_attempt_seconds_count', 'ending')],
          },
          {
            title: 'Pinned tools that have changed',
            curves: [figure('max by (server) (callboard_mcp_server_drift)', '{{server}}')],
          },
        ],
      ],
    ],
  },
  {
    uid: 'callboard-events',
    title: 'Callboard: events and privacy',
    description:
      'Events from their source to whoever reads them, and what the filter made of them. Counts, never values.',
    rows: [
      [
        'Taken',
        [
          {
            title: 'Events, by what became of them',
            unit: 'ops',
            curves: [perSecond('callboard_ingest_events_total', 'outcome')],
          },
          { title: 'How long senders wait', unit: 's', curves: quantiles('callboard_ingest_request_seconds') },
          { title: 'Reads of event buses', unit: 'ops', curves: [perSecond('callboard_bus_answers_total', 'answer')] },
          {
            title: 'Gaps of event buses',
            curves: [figure(`sum by (source) (increase(callboard_bus_gaps_total[${RATE}]))`, '{{source}}')],
          },
        ],
      ],
      [
        'Filtered',
        [
          {
            title: 'Events passed and held',
            unit: 'ops',
            curves: [perSecond('callboard_filter_events_total', 'fate')],
          },
          { title: 'From stored raw to passed or held', unit: 's', curves: quantiles('callboard_filter_seconds') },
          {
            title: 'Values replaced, by type',
            unit: 'ops',
            curves: [perSecond('callboard_filter_redactions_total', 'type')],
          },
          {
            title: 'Held, by reason',
            curves: [figure(`sum by (reason) (increase(callboard_filter_held_total[${RATE}]))`, '{{reason}}')],
          },
          { title: 'Raw events that wait', curves: [figure('sum(callboard_filter_pending)', 'events')] },
          {
            title: 'Age of the oldest raw event',
            unit: 's',
            curves: [figure('max(callboard_filter_oldest_raw_seconds)', 'oldest')],
          },
          {
            title: 'Threads lost to an event',
            curves: [figure(`sum by (reason) (increase(callboard_filter_workers_lost_total[${RATE}]))`, '{{reason}}')],
          },
          { title: 'Is a policy file broken?', now: true, curves: [figure('max(callboard_filter_policy_broken)')] },
        ],
      ],
      [
        'Delivered',
        [
          {
            title: 'Events in answers to clients',
            unit: 'ops',
            curves: [figure(`sum(rate(callboard_events_delivered_total[${RATE}]))`, 'events')],
          },
          {
            title: 'Polls and reads',
            unit: 'ops',
            curves: [
              figure(`sum(rate(callboard_event_polls_total[${RATE}]))`, 'polls'),
              figure(`sum(rate(callboard_event_reads_total[${RATE}]))`, 'reads'),
            ],
          },
          {
            title: 'Answers that said that events may be missing',
            curves: [figure(`sum(increase(callboard_event_truncations_total[${RATE}]))`, 'answers')],
          },
          {
            title: 'Notifications, by how they ended',
            unit: 'ops',
            curves: [perSecond('callboard_notifications_total', 'ending')],
          },
        ],
      ],
    ],
  },
  {
    uid: 'callboard-sagas',
    title: 'Callboard: sagas',
    description: 'Sagas that run, how they end, and those that wait for a person.',
    rows: [
      [
        'Sagas',
        [
          { title: 'Begun', unit: 'ops', curves: [perSecond('callboard_sagas_started_total', 'definition')] },
          { title: 'Ended, by how', unit: 'ops', curves: [perSecond('callboard_sagas_ended_total', 'ending')] },
          { title: 'From begin to end', unit: 's', curves: quantiles('callboard_saga_seconds') },
          { title: 'Running', curves: [figure('sum(callboard_sagas_running)', 'sagas')] },
          { title: 'Waiting for an operator', now: true, curves: [figure('sum(callboard_sagas_halted)')] },
          { title: 'Partitions with an owner', curves: [figure('sum(callboard_saga_partitions)', 'owned')] },
          {
            title: 'Undone or failed, by definition',
            curves: [
              figure(
                `sum by (definition, ending) (increase(callboard_sagas_ended_total{ending!="succeeded"}[${RATE}]))`,
                '{{definition}} {{ending}}',
              ),
            ],
          },
          {
            title: 'Entries that another process was faster with',
            unit: 'ops',
            curves: [figure(`sum(rate(callboard_saga_entries_refused_total[${RATE}]))`, 'entries')],
          },
        ],
      ],
    ],
  },
  {
    uid: 'callboard-tenants',
    title: 'Callboard: tenants and audit',
    description:
      'What quotas, limits, policies and budgets keep apart, and the record of it. The ledger has who did what.',
    rows: [
      [
        'Limits',
        [
          {
            title: 'Commands that have not ended, by tenant',
            curves: [figure('sum by (tenant) (callboard_tenant_commands_open)', '{{tenant}}')],
          },
          {
            title: 'Refused, by tenant and limit',
            unit: 'ops',
            curves: [
              figure(`sum by (tenant, limit) (rate(callboard_tenant_refusals_total[${RATE}]))`, '{{tenant}} {{limit}}'),
            ],
          },

          { title: 'Refused at a limit', unit: 'ops', curves: [perSecond('callboard_refusals_total', 'limit')] },
          { title: 'Commands that have not ended', curves: [figure('sum(callboard_commands_open)', 'commands')] },
          { title: 'Requests in flight', curves: [figure('sum(callboard_requests_open)', 'requests')] },
          {
            title: 'Notifications over budget',
            unit: 'ops',
            curves: [perSecond('callboard_notifications_over_budget_total', 'budget')],
          },
          { title: 'Named subscriptions', curves: [figure('max(callboard_event_subscriptions)', 'subscriptions')] },
          { title: 'Denied by policy', unit: 'ops', curves: [perSecond('callboard_denials_total', 'action')] },
        ],
      ],
      [
        'Audit',
        [
          {
            title: 'Facts, by what became of them',
            unit: 'ops',
            curves: [perSecond('callboard_audit_records_total', 'what')],
          },
          {
            title: 'Age of the oldest record that the ledger lacks',
            unit: 's',
            curves: [figure('max(callboard_audit_lag_seconds)', 'oldest')],
          },
          {
            title: 'Entries written',
            unit: 'ops',
            curves: [figure(`sum(rate(callboard_ledger_entries_total[${RATE}]))`, 'entries')],
          },
          {
            title: 'Since the last checkpoint',
            unit: 's',
            curves: [figure('min(callboard_ledger_checkpoint_age_seconds)', 'age')],
          },
          {
            title: 'Are policies broken?',
            now: true,
            curves: [figure('max by (app) (callboard_policies_broken)', '{{app}}')],
          },
          { title: 'Checkpoints', unit: 'ops', curves: [perSecond('callboard_ledger_checkpoints_total', 'what')] },
        ],
      ],
    ],
  },
];

/** Path within deploy/observability: text. */
export function dashboardFiles(): Map<string, string> {
  return new Map(
    BOARDS.map((board) => [`dashboards/${board.uid}.json`, `${JSON.stringify(toDashboard(board).build(), null, 2)}\n`]),
  );
}

const HALF = 12;
const QUARTER = 6;

function toDashboard({ uid, title, description, rows }: Board): DashboardBuilder {
  const dashboard = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['callboard'])
    .readonly()
    .refresh('30s')
    .time({ from: 'now-3h', to: 'now' })
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'));
  for (const [name, panels] of rows) {
    dashboard.withRow(new RowBuilder(name));
    for (const panel of panels) dashboard.withPanel(toPanel(panel) as unknown as PanelBuilder);
  }
  return dashboard;
}

function toPanel({ title, unit, now, curves }: Panel) {
  const panel = now ? new StatBuilder().span(QUARTER).height(5) : new TimeseriesBuilder().span(HALF).height(8);
  panel.title(title).datasource(SOURCE);
  if (unit) panel.unit(unit);
  for (const [i, [expr, legend]] of curves.entries()) {
    const query = new DataqueryBuilder().expr(expr).refId(String.fromCharCode('A'.charCodeAt(0) + i));
    panel.withTarget(legend ? query.legendFormat(legend) : query);
  }
  return panel;
}
