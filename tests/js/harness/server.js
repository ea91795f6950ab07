// Example servers as child processes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { JWT_SECRET } from './token.js';

export const API_KEY = 'the-suites-key';

/** A platform's server. Its binary is named by the environment, see the suite's Rust driver. */
export class Server {
  /** Starts a MechaMap server with these lines of configuration and flags, which ends with the test `t`. */
  static start(t, toml = '', ...more) {
    return Server.of('mechamap', t, toml, ...more);
  }

  /** The same for any platform. */
  static async of(platform, t, toml = '', ...more) {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-'));
    const config = join(folder, 'config.toml');
    await writeFile(config, toml);
    const variable = `FANFARE_TEST_${platform.toUpperCase()}`;
    const binary = process.env[variable];
    if (!binary) throw new Error(`${variable} must name the server's binary`);
    const flags = ['--listen', '127.0.0.1:0', '--jwt-secret', JWT_SECRET, '--api-key', API_KEY, '--config', config, ...more];
    const child = spawn(binary, flags, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    t.after(async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true });
    });
    for await (const line of createInterface(child.stdout)) {
      const address = line.match(/^listening on http:\/\/(.+):(\d+)$/);
      if (address) {
        child.stdout.resume();
        return new Server(child, ended, address[1], Number(address[2]));
      }
    }
    throw new Error('the server ended at once');
  }

  constructor(child, ended, host, port) {
    this.child = child;
    this.ended = ended;
    this.host = host;
    this.port = port;
  }

  /** Publishes an envelope, or an array of them, and gives what the server answers for each. */
  async publish(body) {
    const answer = await fetch(`http://${this.host}:${this.port}/publish`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
    return JSON.parse(text).results;
  }

  /** The connections of a user. */
  async connections(user) {
    const answer = await fetch(`http://${this.host}:${this.port}/users/${user}/connections`, {
      headers: { authorization: `Bearer ${API_KEY}` },
    });
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
    return (await answer.json()).connections;
  }

  /** Asks the server to end in order, and gives its exit code. */
  async terminate() {
    this.child.kill('SIGTERM');
    const [code] = await this.ended;
    return code;
  }
}
