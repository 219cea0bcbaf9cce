#!/bin/sh
# What Vast starts in place of an image's entrypoint: sshd with the instance's keys, then onstart.
# The first argument is onstart's text. It runs at every start, and its end ends nothing.
kept=~/.simcloud
mkdir -p ~/.ssh "$kept" /etc/ssh
touch ~/.ssh/authorized_keys
chmod 700 ~/.ssh "$kept"
chmod 600 ~/.ssh/authorized_keys
echo "$SSH_PUBLIC_KEY" | while IFS= read -r key; do
  [ -z "$key" ] || grep -qxF "$key" ~/.ssh/authorized_keys || echo "$key" >>~/.ssh/authorized_keys
done
# A container that was stopped keeps its host key; here only its home outlives it.
[ -f "$kept/ssh_host_ed25519_key" ] ||
  ssh-keygen -q -t ed25519 -N '' -C "root@$(uname -n)" -f "$kept/ssh_host_ed25519_key"
cp -p "$kept"/ssh_host_ed25519_key* /etc/ssh/
echo 'Welcome to vast.ai. If authentication fails, try again after a few seconds, and double check your ssh key.' >/etc/ssh/welcome
echo 'Have fun!' >>/etc/ssh/welcome
/usr/sbin/sshd -o Banner=/etc/ssh/welcome
printf '%s\n' "$1" >~/onstart.sh
chmod 700 ~/onstart.sh
/bin/bash ~/onstart.sh || /bin/sh -c 'echo "onstart ended with an error"'
exec sleep infinity
