// A network that fails when it is told to.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Carries TCP connections to a server until they are cut. */
export class Proxy {
  /** Opens a way to `server`, which is closed with the test `t`. */
  static async to(t, server) {
    const proxy = new Proxy(server);
    t.after(() => proxy.close());
    proxy.listener.listen(0, '127.0.0.1');
    await once(proxy.listener, 'listening');
    proxy.host = '127.0.0.1';
    proxy.port = proxy.listener.address().port;
    return proxy;
  }

  constructor(server) {
    /** Where new connections are carried. May be changed. */
    this.server = server;
    this.sockets = new Set();
    this.listener = createServer((client) => this.#carry(client));
  }

  /** Cuts every connection. What is on its way is lost. */
  cut() {
    for (const socket of this.sockets) socket.resetAndDestroy();
    this.sockets.clear();
  }

  close() {
    this.listener.close();
    this.cut();
  }

  #carry(client) {
    const server = connect(this.server.port, this.server.host);
    for (const [socket, other] of [[client, server], [server, client]]) {
      this.sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
