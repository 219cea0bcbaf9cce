#!/bin/sh
# What the official RunPod images start: sshd when there is a key, the environment for logins.
if [ -n "$PUBLIC_KEY" ]; then
  mkdir -p ~/.ssh
  echo "$PUBLIC_KEY" >>~/.ssh/authorized_keys
  chmod 700 ~/.ssh
  chmod 600 ~/.ssh/authorized_keys
  [ -f /etc/ssh/ssh_host_ed25519_key ] ||
    ssh-keygen -q -t ed25519 -N '' -C "root@$(uname -n)" -f /etc/ssh/ssh_host_ed25519_key
  /usr/sbin/sshd
  echo 'SSH host keys:'
  for key in /etc/ssh/*.pub; do
    echo "Key: $key"
    ssh-keygen -lf "$key"
  done
fi
printenv | grep -E '^[A-Z_][A-Z0-9_]*=' | grep -v '^PUBLIC_KEY' |
  awk -F = '{ value = $0; sub(/^[^=]*=/, "", value); print "export " $1 "=\"" value "\"" }' \
    >/etc/rp_environment
echo 'Start script(s) finished, Pod is ready to use.'
exec sleep infinity
