// The official Socket.IO client, with what tests want to know of it.

import { io } from 'socket.io-client';

import { next } from './client.js';
import { token } from './token.js';

export const WAYS = {
  'on the WebSocket': { transports: ['websocket'] },
  'by polling': { transports: ['polling'] },
  'from polling to the WebSocket': {},
};

/** A client of the server, or proxy, that is disconnected with the test `t`. */
export function client(t, server, options = {}) {
  const socket = io(`http://${server.host}:${server.port}`, {
    auth: { token: token(7) },
    forceNew: true,
    reconnectionDelay: 5,
    reconnectionDelayMax: 50,
    ...options,
  });
  t.after(() => socket.disconnect());
  return socket;
}

export async function connected(t, server, options) {
  const socket = client(t, server, options);
  await next(socket, 'connect');
  return socket;
}

export const call = (socket, ...event) => socket.timeout(20_000).emitWithAck(...event);
export const commentId = (envelope) => envelope.data.comment.id;
