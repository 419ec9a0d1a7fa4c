import { execFile } from 'node:child_process';

export interface RunOptions {
  timeoutMs: number;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

/** Runs a program to its end and returns what it printed. Throws with its own last words, in one line. */
export function runCommand(program: string, args: string[], options: RunOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      program,
      args,
      {
        cwd: options.cwd,
        env: options.env ?? process.env,
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: 16 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        if (!error) resolve(stdout);
        else if (error.code === 'ENOENT') reject(new Error(`${program} is not installed`));
        else if (error.killed) reject(new Error(`${program} took longer than ${options.timeoutMs / 1000} s`));
        else reject(new Error(`${program}: ${lastWords(stderr) || lastWords(stdout) || error.message}`));
      },
    );
  });
}

function lastWords(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .slice(-2)
    .join('; ');
}
