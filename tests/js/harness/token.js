// Tokens as the platform's backend mints them.

import { createHmac } from 'node:crypto';

export const JWT_SECRET = 'the suites\' secret';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of a user, good for `seconds`. */
export function token(user, { seconds = 3600, secret = JWT_SECRET, ...claims } = {}) {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: String(user), exp, ...claims })}`;
  const signature = createHmac('sha256', secret).update(signed).digest('base64url');
  return `${signed}.${signature}`;
}
