/** `callboard login`, `token` and `logout`: a person's own token for an MCP server, for scripts and clients that cannot sign anybody in. */
import { Command } from 'commander';
import { forget, goodLogin, logIn } from '../logins.js';
import { printJson } from '../print.js';
import { jsonOption } from '../running-stack.js';

const URL_ARGUMENT = 'URL of the MCP server, as its metadata have it';

export function loginCommand(): Command {
  return new Command('login')
    .description('sign in to an MCP server, at the issuer that it names, with a browser on any device')
    .argument('<url>', URL_ARGUMENT)
    .requiredOption('--client-id <id>', 'what the issuer knows this command line as')
    .option('--scope <scopes>', 'scopes to ask for; all that the server names, unless said otherwise')
    .addOption(jsonOption())
    .action(async (url: string, options: { clientId: string; scope?: string; json: boolean }) => {
      const login = await logIn(url, options, (prompt) => {
        if (options.json) return printJson(prompt);
        console.log(`Open ${prompt.verification_uri} and confirm the code ${prompt.user_code}`);
      });
      if (options.json) return printJson({ issuer: login.issuer, expires_at: login.expires_at });
      console.log(`Signed in until ${login.expires_at}. callboard token ${url} prints a good token.`);
    });
}

export function tokenCommand(): Command {
  return new Command('token')
    .description('print a token that is good now, refreshed where it must be')
    .argument('<url>', URL_ARGUMENT)
    .addOption(jsonOption())
    .action(async (url: string, { json }: { json: boolean }) => {
      const { access_token, expires_at } = await goodLogin(url);
      if (json) printJson({ access_token, expires_at });
      else console.log(access_token);
    });
}

export function logoutCommand(): Command {
  return new Command('logout')
    .description('forget the tokens of an MCP server')
    .argument('<url>', URL_ARGUMENT)
    .addOption(jsonOption())
    .action(async (url: string, { json }: { json: boolean }) => {
      const forgotten = await forget(url);
      if (json) printJson({ forgotten });
      else console.log(forgotten ? 'Forgotten' : 'Nobody was signed in there');
    });
}
