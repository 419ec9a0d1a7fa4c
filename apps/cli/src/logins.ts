/**
 * Tokens that a person has signed in for, by the URL of their MCP server. They are in one file, which only its owner may read, and are refreshed when
 * they are asked for.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeSecret } from '@callboard/nats-server';
import {
  None,
  allowInsecureRequests,
  discovery,
  initiateDeviceAuthorization,
  pollDeviceAuthorizationGrant,
  refreshTokenGrant,
  type Configuration,
  type TokenEndpointResponse,
} from 'openid-client';
import { Failure, messageOf } from './failure.js';

export interface Login {
  issuer: string;
  client_id: string;
  access_token: string;
  refresh_token?: string;
  /** ISO 8601. */
  expires_at: string;
}

/** What a person is to do. */
export interface Prompt {
  verification_uri: string;
  user_code: string;
}

interface Metadata {
  resource: string;
  authorization_servers: string[];
  scopes_supported?: string[];
}

const TIMEOUT_MS = 10_000;
/** A token that ends sooner is not given out. */
const LEAST_LEFT_MS = 30_000;
const USUAL_LIFE_S = 300;

const path = () => join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'callboard', 'logins.json');

/** Signs a person in by the device flow (RFC 8628), and keeps what comes of it. */
export async function logIn(
  url: string,
  { clientId, scope }: { clientId: string; scope?: string },
  onPrompt: (prompt: Prompt) => void,
): Promise<Login> {
  const metadata = await readMetadata(url);
  const [issuer] = metadata.authorization_servers as [string];
  const config = await askIssuer(issuer, clientId);
  if (config.serverMetadata().device_authorization_endpoint === undefined) {
    throw new Failure(`${issuer} does not offer the device flow. Let your MCP client sign you in.`);
  }
  const scopes = scope ?? metadata.scopes_supported?.join(' ');
  const started = await initiateDeviceAuthorization(config, { resource: url, ...(scopes && { scope: scopes }) });
  onPrompt({
    verification_uri: started.verification_uri_complete ?? started.verification_uri,
    user_code: started.user_code,
  });
  const granted = await pollDeviceAuthorizationGrant(config, started, { resource: url }).catch((error: unknown) => {
    throw new Failure(`${issuer} did not sign you in: ${messageOf(error)}`);
  });
  return keep(url, toLogin(issuer, clientId, granted));
}

/** @throws Failure where nobody is signed in, or the issuer does not give another token */
export async function goodLogin(url: string): Promise<Login> {
  const login = (await readLogins())[url];
  const again = `callboard login ${url}`;
  if (!login) throw new Failure(`Nobody is signed in there: ${again}`);
  if (Date.parse(login.expires_at) - Date.now() > LEAST_LEFT_MS) return login;
  const { issuer, client_id: clientId, refresh_token: refreshToken } = login;
  if (refreshToken === undefined) throw new Failure(`The token has ended. Sign in again: ${again}`);
  const config = await askIssuer(issuer, clientId);
  const granted = await refreshTokenGrant(config, refreshToken, { resource: url }).catch((error: unknown) => {
    throw new Failure(`${issuer} gives no other token: ${messageOf(error)}. Sign in again: ${again}`);
  });
  const { access_token, expires_in, refresh_token = refreshToken } = granted;
  return keep(url, toLogin(issuer, clientId, { access_token, expires_in, refresh_token }));
}

/** Returns whether there was one. */
export async function forget(url: string): Promise<boolean> {
  const { [url]: login, ...others } = await readLogins();
  if (login) await writeLogins(others);
  return login !== undefined;
}

/** Where an MCP server says that its tokens come from (RFC 9728). */
async function readMetadata(url: string): Promise<Metadata> {
  const { origin, pathname } = new URL(url);
  const place = `${origin}/.well-known/oauth-protected-resource${pathname}`;
  let metadata: Partial<Metadata>;
  try {
    const answer = await fetch(place, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    metadata = (await answer.json()) as Partial<Metadata>;
  } catch (error) {
    throw new Failure(`${place} does not say who gives tokens: ${messageOf(error)}. Has the server an issuer?`);
  }
  // What says that it is another resource would have us ask for a token that is good elsewhere.
  if (metadata.resource !== url || !metadata.authorization_servers?.length) {
    throw new Failure(`${place} is of another resource: name the server as its public_url has it`);
  }
  return metadata as Metadata;
}

async function askIssuer(issuer: string, clientId: string): Promise<Configuration> {
  const url = new URL(issuer);
  const here = url.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
  const options = { timeout: TIMEOUT_MS / 1_000, ...(here && { execute: [allowInsecureRequests] }) };
  return discovery(url, clientId, undefined, None(), options).catch((error: unknown) => {
    throw new Failure(`${issuer} cannot be asked: ${messageOf(error)}`);
  });
}

type Granted = Pick<TokenEndpointResponse, 'access_token' | 'refresh_token' | 'expires_in'>;

function toLogin(issuer: string, clientId: string, granted: Granted): Login {
  const { access_token, refresh_token, expires_in: seconds = USUAL_LIFE_S } = granted;
  return {
    ...{ issuer, client_id: clientId, access_token },
    ...(refresh_token !== undefined && { refresh_token }),
    expires_at: new Date(Date.now() + seconds * 1_000).toISOString(),
  };
}

async function keep(url: string, login: Login): Promise<Login> {
  await writeLogins({ ...(await readLogins()), [url]: login });
  return login;
}

async function readLogins(): Promise<Record<string, Login>> {
  const text = await readFile(path(), 'utf8').catch(() => '{}');
  return JSON.parse(text) as Record<string, Login>;
}

async function writeLogins(logins: Record<string, Login>): Promise<void> {
  await mkdir(dirname(path()), { recursive: true, mode: 0o700 });
  await writeSecret(path(), JSON.stringify(logins, null, 2));
}
