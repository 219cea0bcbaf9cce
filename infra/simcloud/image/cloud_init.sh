#!/bin/sh
# The first boot of a virtual machine: the login, the registered key, then what cloud-init is given
# (Lambda), or a startup script that root runs (Paperspace).
mkdir -p ~/.ssh /etc/ssh
printf '%s\n' "$SIMCLOUD_SSH_KEY" >>~/.ssh/authorized_keys
chmod 700 ~/.ssh
chmod 600 ~/.ssh/authorized_keys
only=
if [ -n "$SIMCLOUD_LOGIN" ]; then
  # Root under another name: packages and disks are shared between machines, which root alone may.
  echo "$SIMCLOUD_LOGIN:x:0:0::/root:/bin/bash" >>/etc/passwd
  echo "$SIMCLOUD_LOGIN:*:19000:0:99999:7:::" >>/etc/shadow
  printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
  chmod 755 /usr/local/bin/sudo
  for name in poweroff shutdown halt; do
    printf '#!/bin/sh\nkill -TERM 1\n' >"/usr/local/sbin/$name"
    chmod 755 "/usr/local/sbin/$name"
  done
  # There is no systemd, and the network is everybody's: no firewall of its own.
  {
    echo '#!/bin/sh'
    # shellcheck disable=SC2016 # the tool's own words
    echo 'case "$*" in "restart ssh") kill -HUP "$(cat /run/sshd.pid)" ;; *) exit 1 ;; esac'
  } >/usr/local/sbin/systemctl
  printf '#!/bin/sh\necho "$*" >>/run/ufw\n' >/usr/local/sbin/ufw
  chmod 755 /usr/local/sbin/systemctl /usr/local/sbin/ufw
  only="-oAllowUsers=$SIMCLOUD_LOGIN"
fi
key=/etc/ssh/ssh_host_ed25519_key
[ -f "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "root@$(uname -n)" -f "$key"
/usr/sbin/sshd -D $only &
server=$!
if [ -n "$SIMCLOUD_HOST_KEY" ]; then
  # Whoever is quick sees the key that the image made.
  sleep "$SIMCLOUD_CLOUD_INIT_S"
  umask 077
  printf '%s\n' "$SIMCLOUD_HOST_KEY" >"$key"
  ssh-keygen -y -f "$key" >"$key.pub"
  kill "$server"
  wait "$server"
  /usr/sbin/sshd -D $only &
fi
if [ -n "$SIMCLOUD_SCRIPT" ]; then
  sleep "$SIMCLOUD_CLOUD_INIT_S"
  printf '%s' "$SIMCLOUD_SCRIPT" >/run/startup-script
  sh /run/startup-script
fi
trap 'exit 0' TERM
sleep infinity &
wait $!
