/**
 * An incident, from the pager that reports it to Backstage to the team that reads of it in Backstage: an AI client in between hears of the
 * event without the name of whoever reported it, asks Backstage's catalog who owns what is broken, and notifies them.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from '@modelcontextprotocol/client';
import { Failure } from '../failure.js';
import type { ReadyFile } from '../ready-file.js';
import { call, connect, correlationIdOf, poll } from './ai-client.js';
import { STEP_LIMIT_MS, expect, show, tell, until } from './narration.js';

const GET_ENTITY = 'backstage.catalog.get-catalog-entity';
const NOTIFY = 'notifications.send';
const REPORTER = { name: 'Jane Doe', email: 'jane.doe@example.com', phone: '+44 20 7946 0958' };
const OWNER = 'user:default/ada';
const STRANGER = 'user:default/ben';
const TITLE = 'ticket-desk: payments fail';

interface Entity {
  kind: string;
  metadata: { name: string; description?: string };
  relations: { type: string; targetRef: string }[];
}

export async function playIncident(ready: ReadyFile): Promise<void> {
  const client = await connect(ready);
  tell(`An AI client connects to ${ready.mcp_url} and speaks MCP ${client.getNegotiatedProtocolVersion()}.`);
  await listTools(client);
  const { entityRef, text } = await hearOfTheIncident(client, ready);
  const owner = await findOwner(client, entityRef);
  await notify(client, ready, owner, text);
  await client.close();
}

async function listTools(client: Client): Promise<void> {
  let names: string[] = [];
  await until('Backstage lists its actions', async () => {
    names = (await client.listTools()).tools.map(({ name }) => name);
    return names.includes(GET_ENTITY);
  });
  expect(names.includes(NOTIFY), `${NOTIFY} is listed`);
  const theirs = names.filter((name) => name.startsWith('backstage.'));
  tell(`Among its tools are ${theirs.length} actions of that Backstage, and ${NOTIFY}:`);
  for (const name of [...theirs, NOTIFY]) show('tool', name);
}

/** The pager tells Backstage, and nobody else. */
async function hearOfTheIncident(client: Client, ready: ReadyFile): Promise<{ entityRef: string; text: string }> {
  const selection = { sources: ['backstage'], topics: ['incidents'] };
  await call(client, { name: 'events.subscribe', arguments: { name: 'incidents', ...selection } });
  tell("It subscribes to Backstage's events with the topic incidents, with the tool events.subscribe.");

  const incident = {
    id: `incident-${randomUUID()}`,
    entityRef: 'component:default/ticket-desk',
    severity: 'high',
    reporter: REPORTER,
    text: `Payments fail since noon. Call ${REPORTER.name} at ${REPORTER.phone}, or write to ${REPORTER.email}.`,
  };
  const answer = await fetch(`${ready.backstage_url}/api/events/http/incidents`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(incident),
  });
  expect(answer.status === 202, 'Backstage takes the event');
  tell(
    `A pager reports an incident to Backstage's own HTTP ingress, ${ready.backstage_url}/api/events/http/incidents:`,
  );
  show('sent', incident);

  const { polled, events } = await poll(client, 'incidents', STEP_LIMIT_MS);
  const [heard] = events;
  const data = heard?.event.data as Partial<typeof incident> | undefined;
  expect(events.length === 1 && data?.id === incident.id, 'the client gets the event, once');
  const personal = [REPORTER.email, REPORTER.phone, ...REPORTER.name.split(' ')];
  expect(!personal.some((value) => JSON.stringify(polled).includes(value)), 'nothing private has passed');
  tell('Backstage answered when the event was stored. The client gets it from events.poll, without what is private:');
  show('received', data);
  return { entityRef: data!.entityRef!, text: data!.text! };
}

async function findOwner(client: Client, entityRef: string): Promise<string> {
  const [kind, namespace, name] = entityRef.split(/[:/]/);
  const found = async () =>
    (await call(client, { name: GET_ENTITY, arguments: { kind, namespace, name } }).catch((error: unknown) => {
      if (error instanceof Failure) return undefined;
      throw error;
    })) ?? undefined;
  let got: Awaited<ReturnType<typeof found>>;
  // Backstage reads its catalog as it starts, a while.
  await until(`the catalog has ${entityRef}`, async () => (got = await found()) !== undefined);
  const entity = got!.structuredContent as unknown as Entity;
  const owner = entity.relations.find(({ type }) => type === 'ownedBy')?.targetRef;
  expect(owner === 'group:default/stagehands', 'the catalog knows the owner');
  tell(`It asks Backstage's catalog about ${entityRef}, with the tool ${GET_ENTITY}:`);
  show('entity', `${entity.kind} ${entity.metadata.name}: ${entity.metadata.description}`);
  show('owned by', owner!);
  show('command', `${correlationIdOf(got!)}, run as any other: stored, in order, once`);
  return owner!;
}

interface Shown {
  id: string;
  payload: { title: string; description: string; severity: string };
}

async function notify(client: Client, ready: ReadyFile, owner: string, text: string): Promise<void> {
  const request = {
    name: NOTIFY,
    arguments: {
      title: TITLE,
      description: text,
      severity: 'high',
      topic: 'incidents',
      link: '/catalog/default/component/ticket-desk',
      recipients: { type: 'entity', entityRef: owner },
    },
    _meta: { 'io.callboard/idempotency_key': randomUUID() },
  };
  const sent = (await call(client, request)).structuredContent;
  tell(`It notifies ${owner} with the tool ${NOTIFY}:`);
  show('result', sent);

  const read = async (user: string) => {
    const token = ready.backstage_users![user]!;
    const answer = await fetch(`${ready.backstage_url}/api/notifications/notifications`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const { notifications } = (await answer.json()) as { notifications: Shown[] };
    return notifications.filter(({ payload }) => payload.title === TITLE);
  };
  const [seen] = await read(OWNER);
  expect(seen?.payload.description === text, 'a member of the team sees the notification');
  expect((await read(STRANGER)).length === 0, 'nobody else does');
  tell(`${OWNER}, who is in that team, reads her notifications in Backstage, with a token of her own:`);
  show(seen!.payload.severity, `${seen!.payload.title}. ${seen!.payload.description}`);
  tell(`${STRANGER}, who is not, has none.`);

  const again = await call(client, request);
  expect(again._meta?.['io.callboard/replayed'] === true, 'the same call joins the first');
  expect((await read(OWNER)).length === 1, 'there is one notification');
  tell('The client sends the same call again, as one does that has lost its connection: it joins the first.');
  show('notified', 'once');
}
